// Draws the charts of package plots, by the same code in a browser and in goja. An option is data only: it comes as JSON
// and holds no function, so nothing in it can run.
(function (root) {
  "use strict";

  // Okabe and Ito's colours, which colour-blind people can tell apart; those that are hard to see on a background are
  // replaced or come last there.
  var themes = {
    light: {
      background: "#ffffff", text: "#222222", muted: "#5c5c5c", grid: "#e3e3e3",
      colors: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"],
    },
    dark: {
      background: "#16181d", text: "#e8e8e8", muted: "#b0b4bb", grid: "#33373f",
      colors: ["#56b4e9", "#e69f00", "#2fbf93", "#cc79a7", "#f0e442", "#ef7d33", "#c8c8c8"],
    },
  };
  var font = "sans-serif";
  var echarts = root.echarts;
  var colorKeys = { color: true, borderColor: true, backgroundColor: true };

  // paint gives a copy of an option where colours named "@text" or "@0" are those of the theme. Names are looked for only
  // under keys for colours, where no text of a user stands.
  function paint(value, theme, inColor) {
    if (Array.isArray(value) && Array.isArray(value[0])) return value; // points, thousands of them
    if (Array.isArray(value)) return value.map(function (v) { return paint(v, theme, inColor); });
    if (value !== null && typeof value === "object") {
      var out = {};
      Object.keys(value).forEach(function (k) { out[k] = paint(value[k], theme, colorKeys[k] === true); });
      return out;
    }
    if (!inColor || typeof value !== "string" || value[0] !== "@") return value;
    var name = value.slice(1);
    return /^\d+$/.test(name) ? theme.colors[Number(name) % theme.colors.length] : theme[name];
  }

  // base is the theme in the form that echarts wants.
  function base(t) {
    var axis = {
      axisLine: { onZero: false, lineStyle: { color: t.muted } }, axisTick: { lineStyle: { color: t.muted } },
      minorTick: { show: false }, axisLabel: { color: t.muted }, nameTextStyle: { color: t.text },
      splitLine: { lineStyle: { color: t.grid } },
    };
    var text = { color: t.text };
    return {
      color: t.colors, backgroundColor: t.background, textStyle: { color: t.text, fontFamily: font },
      title: { textStyle: { color: t.text, fontSize: 16 }, subtextStyle: { color: t.muted, fontSize: 12 } },
      legend: { textStyle: text, inactiveColor: t.grid, pageTextStyle: text, pageIconColor: t.text, pageIconInactiveColor: t.grid },
      tooltip: { backgroundColor: t.background, borderColor: t.muted, textStyle: text },
      toolbox: { iconStyle: { borderColor: t.muted } },
      visualMap: { textStyle: text },
      categoryAxis: axis, valueAxis: axis, logAxis: axis, timeAxis: axis,
    };
  }

  // fit shortens what would leave the chart: titles end where the chart does.
  function fit(option, width) {
    [].concat(option.title || []).forEach(function (title) {
      if (title.left !== undefined && title.left !== "12") return; // of a panel
      ["textStyle", "subtextStyle"].forEach(function (k, i) {
        title[k] = Object.assign({ width: width - (i === 0 ? 120 : 24), overflow: "truncate" }, title[k]);
      });
    });
  }

  // marks ends logarithmic axes of y where the numbers do, at marks of which there are enough to read a value and not too many.
  function marks(option) {
    [].concat(option.yAxis || []).forEach(function (axis, i) {
      if (axis.type !== "log" || axis.max !== undefined) return;
      var lo = axis.min > 0 ? axis.min : Infinity, hi = 0;
      [].concat(option.series || []).forEach(function (s) {
        if ((s.yAxisIndex || 0) !== i) return;
        (s.data || []).forEach(function (p) {
          if (p && p[1] > 0) { lo = Math.min(lo, p[1]); hi = Math.max(hi, p[1]); }
        });
      });
      if (!(lo <= hi)) return;
      var at = between(inRange(lo), inRange(hi));
      if (axis.min === undefined) axis.min = at.min;
      axis.max = at.max;
      axis.axisLabel = Object.assign({ customValues: at.marks }, axis.axisLabel);
      axis.axisTick = Object.assign({ customValues: at.marks }, axis.axisTick);
    });
  }

  // inRange keeps numbers so far from the end of floats that no mark is 0 or infinite.
  function inRange(v) { return Math.min(1e300, Math.max(1e-300, v)); }

  // between gives the marks from at most lo to at least hi: 1, 2 and 5 of each decade; of many decades their beginnings and the ends;
  // where that would be few, steps of equal size.
  function between(lo, hi) {
    if (lo === hi) { lo /= 2; hi *= 2; }
    var all = [], first = Math.floor(Math.log10(lo)) - 1, last = Math.ceil(Math.log10(hi)) + 1;
    for (var e = first; e <= last; e++) [1, 2, 5].forEach(function (m) { all.push(Number(m + "e" + e)); });
    var from = all.filter(function (v) { return v <= lo; }).length - 1;
    var to = all.findIndex(function (v) { return v >= hi; });
    var inside = all.slice(from, to + 1);
    if (inside.length < 4) {
      var step = nice((hi - lo) / 4), a = Math.floor(lo / step + 1e-9), b = Math.ceil(hi / step - 1e-9);
      if (a > 0) {
        inside = [];
        for (var k = a; k <= b; k++) inside.push(Number((k * step).toPrecision(12)));
      }
    }
    var ends = { min: inside[0], max: inside[inside.length - 1] };
    if (inside.length > 10) inside = inside.filter(function (v) { return v.toExponential()[0] === "1"; });
    var every = Math.ceil(inside.length / 10);
    var marks = inside.filter(function (v, k) { return k % every === 0; });
    var room = 0.07 * Math.log(ends.max / ends.min); // for a label
    if (Math.log(marks[0] / ends.min) > room) marks.unshift(ends.min);
    if (Math.log(ends.max / marks[marks.length - 1]) > room) marks.push(ends.max);
    ends.marks = marks;
    return ends;
  }

  // nice is the least of 1, 2 and 5 times a power of 10 that is not below a number.
  function nice(v) {
    var power = Math.pow(10, Math.floor(Math.log10(v)));
    return power * [1, 2, 5, 10].find(function (m) { return m * power >= 0.999999 * v; });
  }

  // round gives the heads of tooltips the decimals that x has, at most six; echarts' own way makes step 10 "10.00".
  function round(option) {
    if (!option.tooltip || option.tooltip.trigger !== "axis") return;
    var most = 0;
    [].concat(option.series || []).forEach(function (s) {
      (s.data || []).forEach(function (p) {
        if (Array.isArray(p)) most = Math.max(most, (String(p[0]).split(".")[1] || "").length);
      });
    });
    option.tooltip.axisPointer = Object.assign({ label: { precision: Math.min(6, most) } }, option.tooltip.axisPointer);
  }

  function start(el, option, themeName, size) {
    var t = themes[themeName];
    var chart = echarts.init(el, base(t), size);
    option = paint(option, t, false);
    fit(option, chart.getWidth());
    marks(option);
    round(option);
    if (!el) {
      option.animation = false;
      delete option.toolbox;
      delete option.tooltip;
    }
    chart.setOption(option);
    return chart;
  }

  // tints is a scale of colours in 65 steps, with the middle one in the middle.
  function tints(scale) {
    var rgb = scale.map(function (c) { return [1, 3, 5].map(function (i) { return parseInt(c.slice(i, i + 2), 16); }); });
    var out = [];
    for (var k = 0; k < 65; k++) {
      var at = k / 64 * (rgb.length - 1), i = Math.min(Math.floor(at), rgb.length - 2);
      out.push("rgb(" + rgb[i].map(function (from, j) { return Math.round(from + (at - i) * (rgb[i + 1][j] - from)); }) + ")");
    }
    return out;
  }

  // cells draws a heat map, one path for each tint. By echarts' own way a picture of some thousand cells would take seconds and
  // half a megabyte. Cells end at half pixels, so that no ground shines through between them.
  function cells(chart, option, series, index) {
    var map = option.visualMap.filter(function (m) { return m.seriesIndex.indexOf(index) >= 0; })[0];
    var x = chart.getModel().getComponent("xAxis", series.xAxisIndex || 0), y = chart.getModel().getComponent("yAxis", series.yAxisIndex || 0);
    var box = x.axis.grid.getRect(), nx = x.axis.scale.count(), ny = y.axis.scale.count();
    var px = function (i) { return Math.round(2 * (box.x + box.width * i / nx)) / 2; };
    var py = function (i) { return Math.round(2 * (box.y + box.height * (y.axis.inverse ? i : ny - i) / ny)) / 2; };
    var colors = tints(map.inRange.color), paths = colors.map(function () { return ""; });
    series.data.forEach(function (cell) {
      var k = Math.round(64 * (cell[2] - map.min) / (map.max - map.min));
      paths[Math.max(0, Math.min(64, k))] += "M" + px(cell[0]) + " " + py(cell[1]) + "H" + px(cell[0] + 1) + "V" + py(cell[1] + 1) + "H" + px(cell[0]) + "Z";
    });
    return paths.map(function (d, k) { return d && '<path d="' + d + '" fill="' + colors[k] + '" shape-rendering="crispEdges"></path>\n'; }).join("");
  }

  function svg(json, themeName, width, height) {
    var option = JSON.parse(json), maps = [];
    [].concat(option.series || []).forEach(function (s, i) {
      if (s.type !== "heatmap" || !option.visualMap) return;
      maps.push([Object.assign({}, s), i]);
      s.data = [];
    });
    var chart = start(null, option, themeName, { renderer: "svg", ssr: true, width: width, height: height });
    try {
      var drawn = maps.map(function (m) { return cells(chart, option, m[0], m[1]); }).join("");
      // What renderToSVGString does, less the styles for a mouse that points at things.
      var whole = chart.getZr().painter.renderToString({ cssAnimation: false, cssEmphasis: false });
      var ground = whole.indexOf("</rect>") + "</rect>".length; // heat maps lie on the ground, below everything else
      return whole.slice(0, ground) + "\n" + drawn + whole.slice(ground);
    } finally {
      chart.dispose();
    }
  }

  var drawn = []; // {el, option, chart} of what is in the document

  // mode follows the page: its own choice, the notebook's theme, or for a page marked "auto" the system's.
  function mode() {
    var chosen = document.documentElement.dataset.theme, body = document.body;
    if (chosen === "light" || chosen === "dark") return chosen;
    if (chosen === "auto") return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    return body.dataset.jpThemeLight === "false" || body.classList.contains("vscode-dark") ? "dark" : "light";
  }

  function draw(el, option) {
    drawn = drawn.filter(function (d) { // outputs that a notebook has replaced
      var here = document.contains(d.el) && d.el !== el;
      if (!here) { d.sized.disconnect(); d.chart.dispose(); }
      return here;
    });
    el.replaceChildren();
    var d = { el: el, option: option, chart: start(el, option, mode()) };
    d.sized = new ResizeObserver(function () { d.chart.resize(); });
    d.sized.observe(el);
    drawn.push(d);
  }

  // show draws the chart of a notebook's output into every element of that id; the same chart may be shown twice.
  function show(id, option) {
    document.querySelectorAll('[id="' + id + '"]').forEach(function (el) { draw(el, option); });
  }

  // page draws all charts of a page: each element holds its option as JSON.
  function page() {
    document.querySelectorAll(".bitdistill-chart").forEach(function (el) {
      draw(el, JSON.parse(el.querySelector("script").textContent));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () {
      drawn.slice().forEach(function (d) { draw(d.el, d.option); });
    });
  }

  root.bitdistill = { svg: svg, show: show, page: page };
})(typeof window !== "undefined" ? window : globalThis);
