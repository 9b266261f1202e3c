// Package e2e tests what people look at: reports in Chromium, notebooks in the classic Jupyter Notebook and with nbconvert. It is a
// module of its own, so that the library does not depend on a browser's driver. What can be tested without such programs is
// tested where it is made.
//
//	BITDISTILL_NO_SKIP=1 go -C e2e test -timeout 1h ./...
//
// Tests whose programs are not installed are skipped, or fail with BITDISTILL_NO_SKIP=1. BITDISTILL_RUN names a finished run whose
// report is opened, and BITDISTILL_NOTEBOOKS a pattern of the notebooks for nbconvert, such as notebooks/01*.ipynb.
package e2e
