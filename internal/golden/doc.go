// Package golden finds the golden values for tests and compares with them.
//
// Golden values were computed with PyTorch and transformers; the folder's
// README.md describes every file. They are read from testdata/golden at the
// root of the module, or from the folder that BITDISTILL_GOLDEN names, which
// holds files of the same form with other seeds, shapes and models. So tests
// walk what is there.
//
// Only tests import this package. What a golden test needs everywhere belongs
// here; knowledge of one golden file belongs to the test that reads it.
package golden
