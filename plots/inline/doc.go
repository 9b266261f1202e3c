// Package inline shows charts of package plots in a GoNB notebook: Display once, Live while something runs. In a program that GoNB
// has not started everything here does nothing, and quickly, so that the same code runs anywhere.
//
// What does not belong here: charts (package plots) and what they show. Nothing but this package knows GoNB.
package inline
