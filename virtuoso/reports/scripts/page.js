// The page of a run: its market, its trades and its equity, from the data that the page holds; each where it has room.
'use strict';
(async () => {
  const { NARROW, Market, barsOf, decimal, each, element, equity, floats, lasted, moment, number, placeOf, whole } = Virtuoso;
  const byId = (id) => document.getElementById(id);
  const told = JSON.parse(byId('run-data').textContent);

  // --- trades ---------------------------------------------------------------------------------------------------

  async function tradesOf(from) {
    if (!from.n) return [];
    const plain = await each(
      Object.fromEntries(['instrument', 'side', 'entry', 'exit', 'reason'].map((name) => [name, from[name]])), whole,
    );
    const prices = await each(
      Object.fromEntries(['entry_price', 'exit_price', 'stop', 'target'].filter((name) => from[name])
        .map((name) => [name, from[name]])), (text) => decimal(text, 0),
    );
    const money = await each(from.floats, floats);
    const shares = await each(from.shares, (text) => decimal(text, 5));
    const r = await decimal(from.r, 3);
    const unsure = from.ambiguous ? await whole(from.ambiguous) : null;
    const of = (columns, name, k) => (columns.has(name) ? columns.get(name)[k] : NaN);
    return Array.from({ length: from.n }, (_, k) => {
      const instrument = plain.get('instrument')[k];
      const step = 10 ** told.instruments[instrument].digits;
      const [entry, exit] = [plain.get('entry')[k] * told.bar, plain.get('exit')[k] * told.bar];
      const reason = from.reasons[plain.get('reason')[k]];
      return {
        index: k, instrument, side: plain.get('side')[k], entry, exit, held: exit - entry + told.bar,
        entryPrice: of(prices, 'entry_price', k) / step, exitPrice: of(prices, 'exit_price', k) / step,
        stop: of(prices, 'stop', k) / step, target: of(prices, 'target', k) / step, r: r[k],
        size: of(money, 'size', k), pnl: of(money, 'pnl', k), fees: of(money, 'fees', k), gain: of(shares, 'gain', k),
        mae: of(shares, 'mae', k), mfe: of(shares, 'mfe', k), reason, open: reason === 'open',
        ambiguous: unsure !== null && unsure[k] === 1,
      };
    });
  }

  const trades = await tradesOf(told.trades);
  const nameOf = (instrument) => told.instruments[instrument].symbol;
  const state = { instrument: 0, view: 'whole', chosen: -1, panes: null };

  // --- the market -----------------------------------------------------------------------------------------------

  const unpacked = new Map();

  function bars(instrument, view) {
    const key = `${instrument} ${view}`;
    const market = told.instruments[instrument];
    if (!unpacked.has(key)) unpacked.set(key, barsOf(market.views[view], market.digits));
    return unpacked.get(key);
  }

  const drawn = told.instruments.some((market) => Object.keys(market.views).length);
  const market = drawn ? new Market(byId('market'), byId('market-legend'), chooseNear) : null;

  function has(view, instrument = state.instrument) {
    return view in told.instruments[instrument].views;
  }

  async function draw() {
    if (!market) return;
    const { instrument } = state;
    byId('instrument').value = String(instrument);
    const chosen = trades[state.chosen];
    byId('no-bars').hidden = has('whole', instrument);
    if (!has('whole', instrument)) return;
    const view = has(state.view) ? state.view : 'whole';
    const of = await bars(instrument, view);
    chips(of);
    market.show(of, told.most, chosen && chosen.instrument === instrument ? chosen.entry : null, state.panes);
    market.setTrades(trades.filter((trade) => trade.instrument === instrument), state.chosen);
    byId('clock').textContent = view === 'near' ? `${of.clock} bars ${told.near || 'around the trades; the rest is left out'}`
      : of.seconds === told.bar ? `all ${of.clock} bars` : `overview in ${of.clock} bars`;
    document.querySelectorAll('[data-view]').forEach((button) => {
      button.setAttribute('aria-pressed', String(button.dataset.view === view));
      button.hidden = !has('near');
    });
    if (chosen && chosen.instrument === instrument) market.look(chosen.entry, chosen.exit);
    else market.look(null, null);
  }

  // Buttons that show and hide the panes below the candles.
  function chips(of) {
    const names = [...of.panes.keys()];
    if (state.panes === null) state.panes = names.slice(0, innerWidth < NARROW ? 1 : 2);
    byId('panes').replaceChildren(...names.map((name) => {
      const chip = element('button', 'chip', name);
      chip.type = 'button';
      chip.setAttribute('aria-pressed', String(state.panes.includes(name)));
      chip.addEventListener('click', () => {
        const on = state.panes.includes(name);
        state.panes = names.filter((one) => (one === name ? !on : state.panes.includes(one)));
        chip.setAttribute('aria-pressed', String(!on));
        market.setPanes(state.panes);
      });
      return chip;
    }));
  }

  async function choose(index) {
    state.chosen = index;
    const trade = trades[index];
    if (trade) {
      state.instrument = trade.instrument;
      state.view = has('near') ? 'near' : 'whole';
    }
    list.mark();
    await draw();
  }

  // The trade that was alive at a moment of the chart, or entered nearest to it.
  function chooseNear(time) {
    const mine = trades.filter((trade) => trade.instrument === state.instrument);
    const far = (trade) => (time < trade.entry ? trade.entry - time : time > trade.exit ? time - trade.exit : 0);
    const nearest = mine.reduce((best, trade) => (!best || far(trade) < far(best) ? trade : best), null);
    const within = 3 * (told.instruments[state.instrument].views[state.view] || { seconds: told.bar }).seconds;
    if (nearest && far(nearest) <= within) {
      choose(nearest.index);
      list.reveal(nearest.index);
    }
  }

  // --- the list -------------------------------------------------------------------------------------------------

  const percentage = (digits) => (value) => (Number.isNaN(value) ? '–' : `${number(100 * value, digits, true)} %`);
  const minute = (seconds) => moment(seconds).slice(0, -1);
  const COLUMNS = [
    { name: 'instrument', head: 'Instrument', text: nameOf, word: true },
    { name: 'side', head: 'Side', text: (side) => (side > 0 ? '▲ long' : '▼ short'), word: true, lean: true },
    { name: 'entry', head: 'Entry, UTC', text: minute, word: true },
    { name: 'exit', head: 'Exit, UTC', text: minute, word: true },
    { name: 'held', head: 'Held', text: lasted },
    { name: 'reason', head: 'Exit reason', text: (reason) => reason, word: true },
    { name: 'pnl', head: 'P&L', text: (pnl) => number(pnl, 2, true), lean: true },
    { name: 'gain', head: 'Return', text: percentage(2) },
    { name: 'r', head: 'R', text: (r) => number(r, 2, true) },
    { name: 'entryPrice', head: 'Entry price', priced: true },
    { name: 'exitPrice', head: 'Exit price', priced: true },
    { name: 'size', head: 'Size', text: (size) => number(size, size < 1 ? 5 : size < 1000 ? 3 : 0) },
    { name: 'mae', head: 'MAE', text: percentage(2) },
    { name: 'mfe', head: 'MFE', text: percentage(2) },
    { name: 'fees', head: 'Fees', text: (fees) => number(fees, 2) },
  ].filter(({ name }) => trades.some((trade) => typeof trade[name] !== 'number' || !Number.isNaN(trade[name])));

  function cellOf({ name, text, priced }, trade) {
    if (priced) return number(trade[name], told.instruments[trade.instrument].digits);
    const words = text(trade[name]);
    return name === 'reason' && trade.ambiguous ? `${words}, ambiguous` : words;
  }

  class List {
    constructor(body) {
      this.body = body;
      this.space = byId('rows');
      this.by = 'entry';
      this.way = -1;
      this.rows = [];
      this.pool = [];
      body.style.setProperty('--columns', COLUMNS.map((column) => this.width(column)).join(' '));
      this.heads();
      body.addEventListener('scroll', () => this.render(), { passive: true });
      body.addEventListener('keydown', (event) => this.key(event));
      addEventListener('resize', () => this.render());
      ['of-instrument', 'of-side', 'of-reason'].forEach((id) => byId(id).addEventListener('change', () => this.filter()));
      this.filter();
    }

    heads() {
      const sorted = byId('sort');
      byId('heads').replaceChildren(...COLUMNS.map(({ name, head, word }) => {
        const cell = element('div', word ? '' : 'num');
        cell.setAttribute('role', 'columnheader');
        const button = element('button', '', head);
        button.type = 'button';
        button.dataset.by = name;
        button.addEventListener('click', () => this.sort(name, this.by === name ? -this.way : word ? 1 : -1));
        cell.append(button);
        return cell;
      }));
      sorted.replaceChildren(...COLUMNS.flatMap(({ name, head }) => [-1, 1].map((way) => {
        const option = element('option', '', `${head} ${way < 0 ? '↓' : '↑'}`);
        option.value = `${name} ${way}`;
        return option;
      })));
      sorted.addEventListener('change', () => {
        const [name, way] = sorted.value.split(' ');
        this.sort(name, Number(way));
      });
    }

    // Wide enough for the longest text of a column: rows are grids of their own and must agree.
    width(column) {
      const longest = trades.reduce((most, trade) => Math.max(most, cellOf(column, trade).length), column.head.length + 2);
      return `calc(${longest} * ${column.name === 'instrument' ? 0.74 : 0.6}em + 16px)`;
    }

    filter() {
      const [instrument, side, reason] = ['of-instrument', 'of-side', 'of-reason'].map((id) => byId(id).value);
      this.rows = trades.filter((trade) => (!instrument || String(trade.instrument) === instrument)
        && (!side || String(trade.side) === side) && (!reason || trade.reason === reason));
      const ended = this.rows.filter((trade) => !trade.open);
      const won = ended.filter((trade) => trade.pnl > 0).length;
      const pnl = this.rows.reduce((sum, trade) => sum + trade.pnl, 0);
      const said = [`${number(this.rows.length, 0)} of ${number(trades.length, 0)} trades`];
      if (ended.length) said.push(`win rate ${number((100 * won) / ended.length, 1)} %`);
      said.push(`P&L ${number(pnl, 2, true)}`);
      byId('found').textContent = said.join(', ');
      this.sort(this.by, this.way);
    }

    sort(by, way) {
      Object.assign(this, { by, way });
      const key = by === 'instrument' ? (trade) => nameOf(trade.instrument) : (trade) => trade[by];
      const placed = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
      this.rows.sort((one, other) => {
        const [a, b] = [key(one), key(other)];
        const unknown = Number(Number.isNaN(a)) - Number(Number.isNaN(b)); // what is not known comes last, either way
        return unknown || way * placed(a, b) || one.index - other.index;
      });
      byId('heads').querySelectorAll('button').forEach((button) => {
        const own = button.dataset.by === by;
        button.parentElement.setAttribute('aria-sort', own ? (way < 0 ? 'descending' : 'ascending') : 'none');
      });
      byId('sort').value = `${by} ${way}`;
      this.body.scrollTop = 0;
      this.render();
    }

    get height() {
      return parseFloat(getComputedStyle(this.body).getPropertyValue('--row'));
    }

    render() {
      const { height } = this;
      this.space.style.height = `${height * this.rows.length}px`;
      this.body.setAttribute('aria-rowcount', String(this.rows.length + 1));
      const first = Math.max(0, Math.floor(this.body.scrollTop / height) - 4);
      const wanted = Math.min(this.rows.length - first, Math.ceil(this.body.clientHeight / height) + 8);
      while (this.pool.length < wanted) this.pool.push(this.row());
      this.pool.forEach((row, k) => {
        row.hidden = k >= wanted;
        if (!row.hidden) this.fill(row, this.rows[first + k], first + k, height);
      });
    }

    row() {
      const row = element('div', 'row');
      row.setAttribute('role', 'row');
      COLUMNS.forEach(({ word, name, head }) => {
        const cell = element('div', word ? `c-${name}` : `num c-${name}`);
        cell.setAttribute('role', 'cell');
        cell.dataset.head = head;
        row.append(cell);
      });
      row.addEventListener('click', () => this.open(Number(row.dataset.index)));
      this.space.append(row);
      return row;
    }

    fill(row, trade, place, height) {
      row.dataset.index = String(trade.index);
      row.style.transform = `translateY(${place * height}px)`;
      row.setAttribute('aria-rowindex', String(place + 2));
      row.setAttribute('aria-selected', String(trade.index === state.chosen));
      COLUMNS.forEach((column, k) => {
        const cell = row.children[k];
        cell.textContent = cellOf(column, trade);
        if (column.lean) {
          cell.classList.toggle('bullish', trade[column.name] > 0);
          cell.classList.toggle('bearish', trade[column.name] < 0);
        }
      });
    }

    mark() {
      this.pool.forEach((row) => row.setAttribute('aria-selected', String(Number(row.dataset.index) === state.chosen)));
    }

    reveal(index) {
      const place = this.rows.findIndex((trade) => trade.index === index);
      const { height } = this;
      const top = place * height;
      const { scrollTop, clientHeight } = this.body;
      if (place >= 0 && (top < scrollTop || top + 2 * height > scrollTop + clientHeight)) {
        this.body.scrollTop = Math.max(0, top - clientHeight / 2);
      }
      this.mark();
    }

    open(index) {
      choose(index);
      const place = byId('price').getBoundingClientRect();
      if (place.top < 0 || place.top > innerHeight / 2) byId('price').scrollIntoView({ block: 'start' });
    }

    key(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || !this.rows.length) return;
      event.preventDefault();
      const place = this.rows.findIndex((trade) => trade.index === state.chosen);
      const next = this.rows[Math.max(0, Math.min(this.rows.length - 1, place + step))];
      choose(next.index);
      this.reveal(next.index);
    }
  }

  function options(select, pairs) {
    pairs.forEach(([value, words]) => {
      const option = element('option', '', words);
      option.value = value;
      select.append(option);
    });
    select.closest('label').hidden = pairs.length < 2;
  }

  const instruments = told.instruments.map((_, k) => [String(k), nameOf(k)]);
  if (byId('trades')) {
    options(byId('of-instrument'), instruments);
    options(byId('of-side'), [['1', 'long'], ['-1', 'short']]);
    options(byId('of-reason'), (told.trades.reasons || []).map((reason) => [reason, reason]));
  }
  const list = trades.length && byId('trades') ? new List(byId('trades')) : { rows: trades, mark() {}, reveal() {} };

  if (market) {
    options(byId('instrument'), instruments);
    byId('instrument').addEventListener('change', (event) => {
      Object.assign(state, { instrument: Number(event.target.value), chosen: -1, view: 'whole' });
      list.mark();
      draw();
    });
    document.querySelectorAll('[data-view]').forEach((button) => button.addEventListener('click', () => {
      state.view = button.dataset.view;
      if (state.view === 'whole') state.chosen = -1;
      list.mark();
      draw();
    }));
    document.querySelectorAll('[data-step]').forEach((button) => button.addEventListener('click', () => {
      const mine = list.rows.filter((trade) => trade.instrument === state.instrument);
      const order = (mine.length ? mine : trades).slice().sort((a, b) => a.entry - b.entry);
      const place = order.findIndex((trade) => trade.index === state.chosen);
      const step = Number(button.dataset.step);
      const next = order[place < 0 ? (step > 0 ? 0 : order.length - 1) : (place + step + order.length) % order.length];
      if (next) {
        choose(next.index);
        list.reveal(next.index);
      }
    }));
    await draw();
  }
  if (byId('equity')) await equity(byId('equity'), byId('equity-legend'), told.equity, told.bar);
  document.documentElement.dataset.ready = 'yes';
})();
