package rows

//go:generate go -C _asm run . -out ../kernel_amd64.s -stubs ../kernel_stubs_amd64.go -pkg rows
