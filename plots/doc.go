// Package plots draws what happens when a model is made ternary: weights and activations and their codes, losses, flips, relation
// matrices, scales, accuracies, memory and speed. A chart is made from slices and small structs, and then drawn
//
//   - live in an HTML page that needs no network (Page),
//   - live in a notebook, with a picture where scripts do not run (Chart.Fragment; subpackage inline shows it),
//   - as SVG, by echarts itself in a JavaScript engine in Go (Chart.SVG),
//   - as PNG, from that SVG (Chart.PNG).
//
// All four are one echarts option, built with go-echarts' types and drawn by chart.js. An option is data: it holds no
// functions, and tooltips are drawn on the canvas, so that no title, legend or label can become an element of a page or run.
// Colours can be told apart by the colour-blind (Okabe and Ito's palette; viridis), on light and on dark ground.
//
// Values that are not finite are gaps or are left out, and the subtitle says how many; a chart of nothing says "no data". Of a
// line with more than 500 points those are drawn that keep its look (LTTB), so a million points take some 20 kB.
//
// What does not belong here: training, models, GoMLX, anything of package distill, and reading or writing files. Only inline
// knows GoNB.
//
// echarts is Apache ECharts 6.1.0, unchanged, in the folder echarts with its licence.
package plots
