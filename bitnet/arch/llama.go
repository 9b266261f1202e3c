package arch

// llama (Touvron et al. 2023; Grattafiori et al. 2024; SmolLM2: Ben Allal et al. 2025) is the shared block as it is.
var llama = traits{activation: SiLU}
