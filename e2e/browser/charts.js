// What package browser asks a page about its charts.
window.e2e = (function () {
  "use strict";
  var all = function () { return Array.from(document.querySelectorAll('div[role="img"][aria-label]')); };
  // pixels are those of all canvases of a chart, which lie on each other: echarts takes several where there is much to draw.
  var pixels = function (el) {
    var layers = el.querySelectorAll("canvas"), sum = document.createElement("canvas");
    sum.width = layers[0].width;
    sum.height = layers[0].height;
    var context = sum.getContext("2d", { willReadFrequently: true });
    layers.forEach(function (layer) { context.drawImage(layer, 0, 0); });
    return context.getImageData(0, 0, sum.width, sum.height).data;
  };
  var frames = function () { // a frame begins after what was asked for in the last one is drawn
    return new Promise(function (ok) { requestAnimationFrame(function () { requestAnimationFrame(ok); }); });
  };
  var before;

  // look counts pixels of a chart: how many differ from the corner, how many are coloured and no grey, how many colours there are.
  function look(el) {
    var canvas = el.querySelector("canvas"), img = el.querySelector("img");
    var d = { title: el.getAttribute("aria-label"), canvas: !!canvas, picture: !!img && img.complete && img.naturalWidth > 0 && img.clientWidth > 0 };
    if (!canvas) return d;
    var data = pixels(el), seen = new Set(), total = data.length / 4, drawn = 0, coloured = 0;
    for (var i = 0; i < data.length; i += 4) {
      var r = data[i], g = data[i + 1], b = data[i + 2];
      seen.add(data[i + 3] << 24 | r << 16 | g << 8 | b);
      if (r !== data[0] || g !== data[1] || b !== data[2] || data[i + 3] !== data[3]) drawn++;
      if (Math.max(r, g, b) - Math.min(r, g, b) > 48) coloured++;
    }
    d.ground = Array.from(data.slice(0, 4));
    d.drawn = drawn / total;
    d.coloured = coloured / total;
    d.colors = seen.size;
    return d;
  }

  // tooltip is the text that echarts draws above everything else, without the marks of its styles.
  function tooltip(el) {
    var chart = window.echarts && echarts.getInstanceByDom(el);
    if (!chart) return "";
    var shown = chart.getZr().storage.getRoots().filter(function (e) { return e.type === "text" && e.z >= 60 && !e.ignore && !e.invisible; });
    return shown.map(function (e) { return (e.style.text || "").replace(/\{\w*\|([^}]*)\}/g, "$1"); }).join(" ").trim();
  }

  // settled looks until nothing changes any more: large charts are drawn in pieces, a frame each.
  function settled(last) {
    return frames().then(function () {
      var now = all().map(look), text = JSON.stringify(now);
      return text === last ? now : settled(text);
    });
  }

  return {
    charts: function () { return settled(""); },
    // aim brings a chart into view, and tells where its canvas is there.
    aim: function (i) {
      var el = all()[i], canvas = el.querySelector("canvas");
      el.scrollIntoView({ block: "center" });
      return frames().then(function () {
        before = pixels(el);
        var r = canvas.getBoundingClientRect();
        return [r.left, r.top, r.width, r.height];
      });
    },
    // seen tells of the tooltip and how many pixels have changed since aim.
    seen: function (i) {
      return frames().then(function () {
        var el = all()[i], now = pixels(el), changed = 0;
        for (var k = 0; k < now.length; k += 4) {
          if (now[k] !== before[k] || now[k + 1] !== before[k + 1] || now[k + 2] !== before[k + 2]) changed++;
        }
        return { text: tooltip(el), changed: changed };
      });
    },
    box: function (i) {
      var r = all()[i].getBoundingClientRect();
      return [r.left + scrollX, r.top + scrollY, r.width, r.height];
    },
  };
})();
