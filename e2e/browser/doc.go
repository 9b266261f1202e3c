// Package browser drives Chromium, listens to what it complains about, and judges charts by their pixels: what is here knows the
// elements that package plots writes. Jupyter, run folders and notebooks are the business of those who use it.
package browser
