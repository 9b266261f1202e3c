package data

// builtin holds the tasks known by name, with words that are one token in the vocabularies of large models. The columns and labels
// are those of the GLUE files and of the tables that the hub has of them.
var builtin = []Task{
	{
		Name: "cnndm", Kind: Generation,
		Prompt: "{article}\nSummary:", Completion: " {highlights}", MaxCompletion: 160,
		Columns: map[string]Spellings{"article": {"article", "document"}, "highlights": {"highlights", "summary"}},
	},
	{
		Name: "completion", Kind: Generation,
		Prompt: "{prompt}", Completion: "{completion}",
	},
	{
		Name: "messages", Kind: Generation, Messages: "messages",
	},
	{
		Name:        "mnli",
		Prompt:      "{sentence1} Question: {sentence2} True, False or Neither? Answer:",
		LabelColumn: "gold_label",
		Labels: []Label{
			{Value: "entailment", Also: []string{"0"}, Answer: " True"},
			{Value: "neutral", Also: []string{"1"}, Answer: " Neither"},
			{Value: "contradiction", Also: []string{"2"}, Answer: " False"},
		},
		Columns: map[string]Spellings{
			"sentence1": {"sentence1", "premise"}, "sentence2": {"sentence2", "hypothesis"}, "gold_label": {"gold_label", "label"},
		},
	},
	{
		Name:        "qnli",
		Prompt:      "{sentence} Question: {question} Does the text answer it? Answer:",
		LabelColumn: "label",
		Labels:      []Label{{Value: "entailment", Also: []string{"0"}, Answer: " yes"}, {Value: "not_entailment", Also: []string{"1"}, Answer: " no"}},
	},
	{
		Name:        "sst2",
		Prompt:      "{sentence} It was",
		LabelColumn: "label",
		Labels:      []Label{{Value: "0", Also: []string{"negative"}, Answer: " bad"}, {Value: "1", Also: []string{"positive"}, Answer: " good"}},
		Columns:     map[string]Spellings{"sentence": {"sentence", "text"}},
	},
}
