// Package chat renders the chat templates of Hugging Face models: it turns messages into the text that a model was made to read.
//
// A template is a program in Jinja, written by whoever made the model. Here is what such templates use of Jinja: output, if, for,
// set, macro, break, continue, raw and comments, the operators, slices and literals, the common filters and tests, the methods of
// strings and dicts that change nothing, namespace, range, dict, raise_exception and strftime_now. What is not known is refused
// by name. White space is treated as transformers has it set (trim_blocks, lstrip_blocks).
//
// A template can reach nothing but its messages and the names of special tokens: there are no files, no other templates (include,
// import and extends are refused), no attributes of Go values. Its size, the depth of its expressions and calls, its work, and
// what it writes are bounded; a template that goes beyond ends with an error. See [Template.Render].
//
// What does not belong here: where a model keeps its template (package hf), tokens, and what part of the text is learned
// (distill/data).
//
// Files: chat.go is what others call, lex.go splits the source, statements.go, loop.go, expressions.go and postfix.go turn it into functions,
// frame.go runs and bounds them, values.go and operators.go are Python's values, builtins.go, filters.go, methods.go and
// json.go what templates call.
package chat
