// Candles, scores, trades and curves on charts that can be moved: what the pages and the notebook share.
'use strict';
const Virtuoso = (() => {
  const LC = LightweightCharts;
  const UNKNOWN = -2147483648;
  const NARROW = 700;
  const MARGIN = 24; // bars beside a trade that is looked at
  const CROWD = 400; // trades on the screen from which on only their entries are marked

  // --- numbers --------------------------------------------------------------------------------------------------

  async function bytesOf(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function whole(text) {
    const bytes = await bytesOf(text);
    const n = bytes.length / 4;
    const found = new Int32Array(n);
    let sum = 0;
    for (let k = 0; k < n; k += 1) {
      sum = (sum + (bytes[k] | (bytes[n + k] << 8) | (bytes[2 * n + k] << 16) | (bytes[3 * n + k] << 24))) | 0;
      found[k] = sum;
    }
    return found;
  }

  async function decimal(text, digits) {
    const step = 10 ** digits;
    return Float64Array.from(await whole(text), (value) => (value === UNKNOWN ? NaN : value / step));
  }

  async function floats(text) {
    return new Float32Array((await whole(text)).buffer);
  }

  async function each(of, unpack) {
    const names = Object.keys(of);
    const values = await Promise.all(names.map((name) => unpack(of[name])));
    return new Map(names.map((name, k) => [name, values[k]]));
  }

  // Place of the last of the sorted values that is no larger; -1 where all are.
  function placeOf(sorted, value) {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  // Bars of a view: rows as the charts take them, with a hole where bars are left out or were never published.
  async function barsOf(view, digits) {
    const step = 10 ** digits;
    const [t, o, h, l, c, v] = await Promise.all(['t', 'o', 'h', 'l', 'c', 'v'].map((name) => whole(view[name])));
    const panes = await each(view.panes, (pane) => decimal(pane.values, pane.digits));
    const rows = [];
    for (let k = 0; k < t.length; k += 1) {
      const open = (k ? c[k - 1] : 0) + o[k];
      rows.push({
        time: t[k] * view.seconds,
        open: open / step,
        high: (Math.max(open, c[k]) + h[k]) / step,
        low: (Math.min(open, c[k]) - l[k]) / step,
        close: c[k] / step,
        volume: (v[k] / 1000) * view.volume,
        at: k,
      });
    }
    return { rows, panes, scales: view.panes, seconds: view.seconds, clock: view.clock, digits };
  }

  // At most `most` bars around a moment, with holes as rows of a time alone.
  function cut(bars, most, moment) {
    let rows = bars.rows;
    if (rows.length > most) {
      const middle = moment === null ? rows.length : placeOf(rows.map((row) => row.time), moment);
      const first = Math.max(0, Math.min(middle - (most >> 1), rows.length - most));
      rows = rows.slice(first, first + most);
    }
    const held = [];
    rows.forEach((row, k) => {
      if (k) {
        const before = rows[k - 1].time;
        const missing = Math.round((row.time - before) / bars.seconds) - 1;
        for (let hole = 1; hole <= Math.min(missing, 4); hole += 1) held.push({ time: before + hole * bars.seconds });
      }
      held.push(row);
    });
    return held;
  }

  // --- words ----------------------------------------------------------------------------------------------------

  const formats = new Map();

  function number(value, digits, signed = false) {
    if (Number.isNaN(value)) return '–';
    if (!formats.has(digits)) {
      formats.set(digits, new Intl.NumberFormat('en-US', {
        minimumFractionDigits: digits, maximumFractionDigits: digits,
      }));
    }
    const text = formats.get(digits).format(Math.abs(value));
    const nothing = Number(text.replace(/,/g, '')) === 0;
    if (nothing) return text;
    return (value < 0 ? '−' : signed ? '+' : '') + text;
  }

  function moment(seconds) {
    return `${new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ')}Z`;
  }

  function lasted(seconds) {
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return minutes ? `${minutes} min` : `${seconds} s`;
    const hours = minutes / 60;
    return hours < 48 ? `${number(hours, 1)} h` : `${number(hours / 24, 1)} d`;
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  // --- looks ----------------------------------------------------------------------------------------------------

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const names = ['paper', 'line', 'ink', 'quiet', 'bullish', 'bearish', 'neutral', 'accent'];
    return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  function faded(hex, share) {
    return `${hex}${Math.round(share * 255).toString(16).padStart(2, '0')}`;
  }

  function looks(of) {
    return {
      layout: {
        background: { type: 'solid', color: of.paper }, textColor: of.quiet, fontSize: 11,
        fontFamily: getComputedStyle(document.body).fontFamily, attributionLogo: true,
        panes: { separatorColor: of.line, separatorHoverColor: of.line, enableResize: true },
      },
      grid: { vertLines: { visible: false }, horzLines: { color: faded(of.line, 0.6) } },
      rightPriceScale: { borderVisible: false },
      timeScale: { borderColor: of.line, timeVisible: true, secondsVisible: false, rightOffset: 2, minBarSpacing: 0.05 },
      crosshair: { mode: 0, vertLine: { color: of.quiet, width: 1 }, horzLine: { color: of.quiet, width: 1 } },
    };
  }

  function chartOn(host, more = {}) {
    const chart = LC.createChart(host, {
      autoSize: true,
      handleScroll: { vertTouchDrag: false },
      localization: { timeFormatter: moment, locale: 'en-US' },
      ...looks(colours()),
      ...more,
    });
    const redrawn = [];
    const themed = () => {
      chart.applyOptions(looks(colours()));
      redrawn.forEach((redraw) => redraw(colours()));
    };
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', themed);
    return { chart, onTheme: (redraw) => redrawn.push(redraw) };
  }

  // --- trades on the candles ------------------------------------------------------------------------------------

  // Draws trades over the candles: where they began and ended, and of the chosen one what it risked and hoped for.
  class Marks {
    constructor() {
      this.trades = [];
      this.chosen = -1;
      this.times = [];
      this.digits = 2;
    }

    attached({ chart, series, requestUpdate }) {
      Object.assign(this, { chart, series, requestUpdate });
    }

    paneViews() {
      const draw = (target) => target.useMediaCoordinateSpace(({ context, mediaSize }) => {
        context.save();
        this.paint(context, mediaSize);
        context.restore();
      });
      return [{ zOrder: () => 'top', renderer: () => ({ draw }) }];
    }

    show(trades, times, chosen, digits) {
      this.times = times;
      this.digits = digits;
      this.chosen = chosen;
      this.trades = trades.map((trade) => ({
        ...trade, from: placeOf(times, trade.entry), to: placeOf(times, trade.exit),
      })).filter((trade) => trade.from >= 0 || trade.to >= 0);
      if (this.requestUpdate) this.requestUpdate();
    }

    // The range of prices on the screen, with the stop and the target of the chosen trade while it is there.
    widened(range) {
      const trade = this.trades.find((one) => one.index === this.chosen);
      const seen = this.chart && this.chart.timeScale().getVisibleLogicalRange();
      if (!range || !range.priceRange || !trade || !seen || trade.to < seen.from || trade.from > seen.to) return range;
      const levels = [trade.stop, trade.target].filter((price) => !Number.isNaN(price));
      const { minValue, maxValue } = range.priceRange;
      return { ...range, priceRange: { minValue: Math.min(minValue, ...levels), maxValue: Math.max(maxValue, ...levels) } };
    }

    x(place) {
      return this.chart.timeScale().logicalToCoordinate(place);
    }

    y(price) {
      return this.series.priceToCoordinate(price);
    }

    paint(context, size) {
      const range = this.chart.timeScale().getVisibleLogicalRange();
      if (!range) return;
      const seen = this.trades.filter((trade) => trade.to >= range.from - 1 && trade.from <= range.to + 1);
      const of = colours();
      const crowded = seen.length > CROWD;
      seen.forEach((trade) => {
        if (!crowded && trade.index !== this.chosen) this.life(context, trade, of, 0.55);
      });
      seen.forEach((trade) => this.entry(context, trade, of, crowded ? 3 : 5));
      const chosen = seen.find((trade) => trade.index === this.chosen);
      if (chosen) this.whole(context, chosen, of, size);
    }

    life(context, trade, of, alpha) {
      const [x0, y0, x1, y1] = [this.x(trade.from), this.y(trade.entryPrice), this.x(trade.to), this.y(trade.exitPrice)];
      if (y0 === null || y1 === null) return;
      context.globalAlpha = alpha;
      context.strokeStyle = of.ink;
      context.lineWidth = 1;
      context.setLineDash([2, 2]);
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.stroke();
      context.setLineDash([]);
      if (!trade.open) {
        context.beginPath();
        context.moveTo(x1 - 3, y1 - 3);
        context.lineTo(x1 + 3, y1 + 3);
        context.moveTo(x1 - 3, y1 + 3);
        context.lineTo(x1 + 3, y1 - 3);
        context.stroke();
      }
      context.globalAlpha = 1;
    }

    entry(context, trade, of, reach) {
      const [x, y] = [this.x(trade.from), this.y(trade.entryPrice)];
      if (y === null) return;
      const way = trade.side > 0 ? 1 : -1; // a long one points up from below
      context.fillStyle = trade.side > 0 ? of.bullish : of.bearish;
      context.strokeStyle = of.paper;
      context.beginPath();
      context.moveTo(x, y + 2 * way);
      context.lineTo(x - reach, y + (2 + 1.7 * reach) * way);
      context.lineTo(x + reach, y + (2 + 1.7 * reach) * way);
      context.closePath();
      context.fill();
      if (reach > 3) context.stroke();
    }

    whole(context, trade, of, size) {
      const [x0, y0] = [this.x(trade.from), this.y(trade.entryPrice)];
      const x1 = Math.max(this.x(trade.to), x0 + 2);
      if (y0 === null) return;
      [['stop', trade.stop, of.bearish], ['target', trade.target, of.bullish]].forEach(([name, price, colour]) => {
        const y = Number.isNaN(price) ? null : this.y(price);
        if (y === null) return;
        context.fillStyle = faded(colour, 0.14);
        context.fillRect(x0, Math.min(y0, y), x1 - x0, Math.abs(y - y0));
        this.level(context, x0, x1, y, `${name} ${number(price, this.digits)}`, colour, size);
      });
      this.level(context, x0, x1, y0, `entry ${number(trade.entryPrice, this.digits)}`, of.ink, size);
      this.life(context, trade, of, 1);
      this.entry(context, trade, of, 7);
    }

    level(context, x0, x1, y, words, colour, size) {
      context.strokeStyle = colour;
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(x0, y);
      context.lineTo(x1, y);
      context.stroke();
      context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      const width = context.measureText(words).width;
      const x = x1 + 6 + width < size.width ? x1 + 6 : Math.max(0, x0 - width - 6);
      context.fillStyle = faded(colours().paper, 0.85);
      context.fillRect(x - 2, y - 8, width + 4, 16);
      context.fillStyle = colour;
      context.textBaseline = 'middle';
      context.fillText(words, x, y);
    }
  }

  // --- a market -------------------------------------------------------------------------------------------------

  // Candles with volume, panes below and trades above: `show` exchanges what is drawn.
  class Market {
    constructor(host, legend, onMoment) {
      this.legend = legend;
      const { chart, onTheme } = chartOn(host);
      this.chart = chart;
      this.candles = chart.addSeries(LC.CandlestickSeries, { priceLineVisible: false, lastValueVisible: false });
      this.volume = chart.addSeries(LC.HistogramSeries, {
        priceScaleId: '', priceFormat: { type: 'volume' }, priceLineVisible: false, lastValueVisible: false,
      });
      this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.86, bottom: 0 } });
      this.marks = new Marks();
      this.candles.applyOptions({ autoscaleInfoProvider: (plain) => this.marks.widened(plain()) });
      this.candles.attachPrimitive(this.marks);
      this.panes = [];
      this.rows = [];
      onTheme((of) => this.colour(of));
      this.colour(colours());
      chart.subscribeCrosshairMove((event) => this.tell(event.time === undefined ? null : event.time));
      if (onMoment) chart.subscribeClick((event) => event.time !== undefined && onMoment(event.time, event.point));
    }

    colour(of) {
      this.candles.applyOptions({
        upColor: of.paper, downColor: of.bearish, borderUpColor: of.bullish, borderDownColor: of.bearish,
        wickUpColor: of.bullish, wickDownColor: of.bearish,
      });
      this.volume.applyOptions({ color: faded(of.neutral, 0.35) });
      this.panes.forEach(({ series, middle }) => series.applyOptions(lineLooks(of, middle)));
    }

    show(bars, most, at, wanted) {
      this.bars = bars;
      this.rows = cut(bars, most, at);
      this.times = this.rows.map((row) => row.time);
      this.candles.applyOptions({
        priceFormat: {
          type: 'custom', minMove: 10 ** -bars.digits, formatter: (price) => number(price, bars.digits),
        },
      });
      this.candles.setData(this.rows);
      this.volume.setData(this.rows.map((row) => (row.at === undefined ? row : { time: row.time, value: row.volume })));
      this.setPanes(wanted);
      this.tell(null);
    }

    setPanes(wanted) {
      this.panes.forEach(({ series }) => this.chart.removeSeries(series));
      this.panes = wanted.filter((name) => this.bars.panes.has(name)).map((name, k) => this.pane(name, k + 1));
      this.chart.panes().forEach((pane, k) => pane.setStretchFactor(k ? 1 : 4));
    }

    pane(name, index) {
      const values = this.bars.panes.get(name);
      const { middle } = this.bars.scales[name];
      const kind = middle === null ? LC.LineSeries : LC.BaselineSeries;
      const series = this.chart.addSeries(kind, {
        ...lineLooks(colours(), middle), title: name, lineWidth: 1, priceLineVisible: false, lastValueVisible: false,
        priceFormat: { type: 'price', precision: middle ? 1 : 2, minMove: middle ? 0.1 : 0.01 },
      }, index);
      series.setData(this.rows.map((row) => (
        row.at === undefined || Number.isNaN(values[row.at]) ? { time: row.time } : { time: row.time, value: values[row.at] }
      )));
      return { name, series, middle };
    }

    setTrades(trades, chosen) {
      this.marks.show(trades, this.times, chosen, this.bars.digits);
    }

    // Look at a stretch of time, seconds; at everything where there is none.
    look(from, to) {
      if (from === null) {
        this.chart.timeScale().fitContent();
        return;
      }
      const first = placeOf(this.times, from);
      const last = placeOf(this.times, to);
      const beside = Math.max(MARGIN, Math.round((last - first) * 0.25));
      this.chart.timeScale().setVisibleLogicalRange({ from: first - beside, to: last + beside });
    }

    // Say what the bars are under the pointer; the last one's where it is elsewhere.
    tell(time) {
      const place = time === null ? this.rows.length - 1 : placeOf(this.times, time);
      const row = this.rows[place];
      if (!row || row.at === undefined) return;
      const price = (value) => number(value, this.bars.digits);
      const said = [moment(row.time), `O ${price(row.open)}`, `H ${price(row.high)}`, `L ${price(row.low)}`,
        `C ${price(row.close)}`, `V ${number(row.volume, row.volume < 100 ? 2 : 0)}`];
      this.panes.forEach(({ name, middle }) => said.push(`${name} ${number(this.bars.panes.get(name)[row.at], middle ? 1 : 2)}`));
      this.legend.replaceChildren(...said.map((words) => element('span', '', words)));
    }
  }

  function lineLooks(of, middle) {
    if (middle === null) return { color: of.ink };
    return {
      baseValue: { type: 'price', price: middle },
      topLineColor: of.bullish, topFillColor1: faded(of.bullish, 0.4), topFillColor2: faded(of.bullish, 0.1),
      bottomLineColor: of.bearish, bottomFillColor1: faded(of.bearish, 0.1), bottomFillColor2: faded(of.bearish, 0.4),
    };
  }

  // --- equity ---------------------------------------------------------------------------------------------------

  // Curves over the cash on a logarithmic axis, and the fall from the peak below.
  async function equity(host, legend, told, bar) {
    const t = await whole(told.t);
    const curves = await each(told.curves, (text) => decimal(text, 5));
    const drawdown = await decimal(told.drawdown, 5);
    const { chart, onTheme } = chartOn(host, { rightPriceScale: { borderVisible: false, mode: 1 } });
    const grown = { type: 'custom', minMove: 0.00001, formatter: (value) => `${number(100 * (value - 1), 1, true)} %` };
    const fallen = { type: 'custom', minMove: 0.00001, formatter: (value) => `${number(100 * value, 1)} %` };
    const quietly = { priceLineVisible: false, crosshairMarkerRadius: 3 };
    const times = Float64Array.from(t, (place) => place * bar);
    const points = (values) => Array.from(times, (time, k) => ({ time, value: values[k] }));
    const lines = [...curves].reverse().map(([name, values]) => {
      const own = name === 'strategy';
      const series = chart.addSeries(LC.LineSeries, {
        priceFormat: grown, lineWidth: own ? 2 : 1, lineStyle: own ? 0 : 2, ...quietly,
      });
      series.setData(points(values));
      return { series, own };
    });
    const under = chart.addSeries(LC.BaselineSeries, { priceFormat: fallen, lineWidth: 1, ...quietly }, 1);
    under.setData(points(drawdown));
    chart.priceScale('right', 1).applyOptions({ mode: 0 });
    chart.panes().forEach((pane, k) => pane.setStretchFactor(k ? 1 : 2.6));
    const coloured = (of) => {
      lines.forEach(({ series, own }) => series.applyOptions({ color: own ? of.ink : of.quiet }));
      under.applyOptions({ ...lineLooks(of, 0) });
    };
    onTheme(coloured);
    coloured(colours());
    const tell = (place) => {
      const said = [moment(times[place])];
      curves.forEach((values, name) => said.push(`${name} ${grown.formatter(values[place])}`));
      said.push(`drawdown ${fallen.formatter(drawdown[place])}`);
      legend.replaceChildren(...said.map((words) => element('span', '', words)));
    };
    chart.subscribeCrosshairMove((event) => tell(event.time === undefined ? times.length - 1 : placeOf(times, event.time)));
    tell(times.length - 1);
    chart.timeScale().fitContent();
    return chart;
  }

  return { NARROW, Market, barsOf, decimal, each, element, equity, floats, lasted, moment, number, placeOf, whole };
})();
