// Charts of a run's figures as SVG, drawn as package chart draws those of a
// report: the same inks, axes and running means. A curve of more steps than the
// drawing has pixels is drawn by its first, least, greatest and last value of
// each column of pixels, so that no spike is lost.

import { formats, plain, tick, powerTick, roundStep, marks, count } from './numbers.js';

const svgSpace = 'http://www.w3.org/2000/svg';
const smoothFrom = 200; // steps before a running mean is drawn

const element = (name, attributes = {}, parent) => {
	const e = document.createElementNS(svgSpace, name);
	for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
	parent?.append(e);
	return e;
};

const html = (name, className, text) => {
	const e = document.createElement(name);
	if (className) e.className = className;
	if (text !== undefined) e.textContent = text;
	return e;
};

const ok = v => v !== null && v !== undefined && Number.isFinite(v);
const beneath = (ink, kind) => kind + ((Number(ink.slice(1)) - 1) % 4 + 1);

// smooth is the running mean of so many values around each; gaps stay gaps.
export function smooth(y, window) {
	const half = window >> 1, out = new Array(y.length);
	let sum = 0, n = 0;
	const add = (i, sign) => {
		if (i >= 0 && i < y.length && ok(y[i])) {
			sum += sign * y[i];
			n += sign;
		}
	};
	for (let i = 0; i < half; i++) add(i, 1);
	for (let i = 0; i < y.length; i++) {
		add(i + half, 1);
		add(i - half - 1, -1);
		out[i] = n > 0 && ok(y[i]) ? sum / n : null;
	}
	return out;
}

// thin keeps of points [x, y], in pixels and without gaps, what can be seen.
export function thin(points) {
	const all = [];
	for (let i = 0; i < points.length;) {
		const column = Math.floor(points[i][0]);
		let j = i, low = i, high = i;
		for (; j < points.length && Math.floor(points[j][0]) === column; j++) {
			if (points[j][1] < points[low][1]) low = j;
			if (points[j][1] > points[high][1]) high = j;
		}
		let before = -1;
		for (const k of [i, Math.min(low, high), Math.max(low, high), j - 1]) {
			if (k !== before) all.push(points[k]);
			before = k;
		}
		i = j;
	}
	return all;
}

const pathOf = points => 'M' + points.map(([x, y]) => x.toFixed(1) + ',' + y.toFixed(1)).join('L');

// empty tells whether there is nothing to draw.
export const empty = figure => !figure.curves.some(c => c.y.some(ok));

// Chart is one figure of the page. It is drawn only where it can be seen.
export class Chart {
	constructor(figure, data, onCursor) {
		this.figure = figure;
		this.data = data;
		this.onCursor = onCursor;
		this.format = formats[figure.format] ?? plain;
		this.seen = false;
		this.stale = true;
		this.cursor = -1; // record that values are read off
		this.build();
	}

	build() {
		const f = this.figure;
		this.root = html('figure');
		this.root.id = 'figure-' + f.id;
		const caption = html('figcaption'), title = html('h3', '', f.title + ' ');
		title.append(html('small', '', f.unit));
		this.legend = html('ul', 'legend');
		caption.append(title, this.legend);
		// To a screen reader it is a slider along the steps, whose text says the values.
		this.box = html('div', 'box');
		this.box.tabIndex = 0;
		this.box.setAttribute('role', 'slider');
		this.box.setAttribute('aria-label', f.title + ', ' + f.unit);
		this.box.setAttribute('aria-valuemin', '1');
		this.svg = element('svg', { class: 'plot', 'aria-hidden': 'true', focusable: 'false' }, this.box);
		this.overlay = element('g');
		this.root.append(caption, this.box, html('p', 'about', f.about));
		this.box.addEventListener('keydown', e => this.key(e));
		this.box.addEventListener('pointermove', e => this.point(e));
		this.box.addEventListener('pointerleave', () => this.onCursor(-1));
		this.box.addEventListener('blur', () => this.onCursor(-1));
	}

	// key moves the cursor: by a step, by a tenth of them, to either end.
	key(e) {
		const n = this.data.x.length, at = this.cursor < 0 ? n - 1 : this.cursor, far = Math.max(1, Math.round(n / 10));
		const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowDown: at - 1, ArrowUp: at + 1, PageDown: at - far, PageUp: at + far, Home: 0, End: n - 1 }[e.key];
		if (e.key === 'Escape') this.onCursor(-1);
		if (to === undefined || n === 0) return;
		e.preventDefault();
		this.onCursor(this.cursor < 0 && e.key !== 'Home' ? n - 1 : Math.min(Math.max(to, 0), n - 1));
	}

	point(e) {
		const places = this.data.places(), n = places.length;
		if (!n || !this.scale) return;
		const x = e.clientX - this.svg.getBoundingClientRect().left;
		let low = 0, high = n - 1; // places rise
		while (low < high) {
			const middle = low + high >> 1;
			if (this.scale(places[middle]) < x) low = middle + 1; else high = middle;
		}
		if (low > 0 && x - this.scale(places[low - 1]) < this.scale(places[low]) - x) low--;
		this.onCursor(low);
	}

	// curves are those of the figure with where their values are.
	curves() {
		return this.figure.curves.filter(c => c.y.some(ok)).map(c => ({ ...c, at: c.dots ? c.x.map(x => this.data.placeOf(x)) : this.data.places() }));
	}

	window() {
		const n = Math.max(0, ...this.figure.curves.filter(c => !c.dots).map(c => c.y.length));
		return n < smoothFrom ? 0 : Math.floor(n / 40) | 1;
	}

	// draw draws what has changed, if it can be seen.
	draw() {
		if (!this.seen) return;
		if (!this.stale) {
			if (this.shown !== this.cursor) this.read(); // it moved while this was out of sight
			return;
		}
		this.stale = false;
		const f = this.figure, curves = this.curves(), window = this.window();
		const width = this.box.clientWidth, height = this.svg.clientHeight;
		if (width < 80 || height < 80) { // not laid out yet
			this.stale = true;
			return;
		}
		this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
		this.svg.replaceChildren();
		const place = f.log ? v => ok(v) && v > 0 ? Math.log10(v) : null : v => ok(v) ? v : null;
		const layers = f.stacked ? this.layers(curves, window) : null;
		const [low, high, ticks] = this.limits(curves, layers, place);
		const labels = ticks.map(t => f.log ? powerTick(t) : tick(t));
		const left = 12 + 6.2 * Math.max(...labels.map(l => l.length), 1), right = width - 12, top = 8, bottom = height - 38;
		const [from, to] = this.data.range(curves);
		const X = this.scale = v => left + (v - from) / (to - from) * (right - left);
		const Y = v => bottom - (v - low) / (high - low) * (bottom - top);
		ticks.forEach((t, i) => {
			element('path', { class: 'stroke-grid', d: `M${left},${Y(t).toFixed(1)}H${right}` }, this.svg);
			element('text', { class: 'fill-text', x: left - 7, y: Y(t) + 4, 'text-anchor': 'end', 'font-size': 11 }, this.svg).textContent = labels[i];
		});
		element('path', { class: 'stroke-axis', d: `M${left},${bottom}H${right}` }, this.svg);
		let apart = roundStep((to - from) / Math.max(2, Math.min(6, Math.floor((right - left) / 62))));
		if (this.data.axis.id === 'step') apart = apart === 2.5 ? 5 : Math.max(1, apart); // there is no half a step
		for (const t of marks(from, to, apart)) {
			element('path', { class: 'stroke-axis', d: `M${X(t).toFixed(1)},${bottom}v4` }, this.svg);
			element('text', { class: 'fill-text', x: X(t), y: bottom + 16, 'text-anchor': 'middle', 'font-size': 11 }, this.svg).textContent = tick(t);
		}
		element('text', { class: 'fill-text', x: (left + right) / 2, y: height - 5, 'text-anchor': 'middle', 'font-size': 11 }, this.svg).textContent = this.data.axis.unit;
		const clip = y => Math.min(Math.max(y, top - 40), bottom + 40);
		const runs = (at, y) => {
			const all = [];
			let run = null;
			for (let i = 0; i < y.length; i++) {
				const v = place(y[i]);
				if (v === null || !ok(at[i])) {
					run = null;
					continue;
				}
				if (!run) all.push(run = []);
				run.push([X(at[i]), clip(Y(v))]);
			}
			return all.map(thin);
		};
		const line = (at, y, className) => {
			for (const run of runs(at, y)) {
				if (run.length === 1) this.dot(run[0], className.match(/stroke-(\w+)/)[1], 2);
				else element('path', { class: className, d: pathOf(run) }, this.svg);
			}
		};
		if (layers) {
			curves.forEach((c, i) => this.area(runs(c.at, layers[i + 1]), runs(c.at, layers[i]), beneath(c.ink, 'layer')));
		} else {
			for (const c of curves) if (c.upper) this.area(runs(c.at, c.upper), runs(c.at, c.lower), beneath(c.ink, 'band'));
			for (const c of curves) {
				if (window && !c.dots) {
					line(c.at, c.y, 'pale stroke-' + beneath(c.ink, 'pale'));
					line(c.at, smooth(c.y, window), 'line stroke-' + c.ink + (c.dashed ? ' dashed' : ''));
					continue;
				}
				line(c.at, c.y, 'line stroke-' + c.ink + (c.dashed ? ' dashed' : ''));
				c.y.forEach((v, i) => {
					const end = i === c.y.length - 1 || i === 0;
					if (place(v) !== null && (end || c.dots && c.y.length <= 40)) this.dot([X(c.at[i]), clip(Y(place(v)))], c.ink, 2.75);
				});
			}
		}
		this.drawn = { X, Y, place, curves, layers, top, bottom };
		this.svg.append(this.overlay);
		this.read();
	}

	dot([x, y], ink, r) {
		element('circle', { class: 'fill-' + ink, cx: x.toFixed(1), cy: y.toFixed(1), r }, this.svg);
	}

	// area fills what is between upper and lower, run by run.
	area(upper, lower, ink) {
		upper.forEach((run, i) => {
			if (lower[i]) element('path', { class: 'fill-' + ink, d: pathOf(run.concat(lower[i].toReversed())) + 'Z' }, this.svg);
		});
	}

	// layers are the curves' sums from 0 on: each one's upper edge follows its lower one.
	layers(curves, window) {
		const all = [new Array(this.data.x.length).fill(0)];
		for (const c of curves) {
			const y = window ? smooth(c.y, window) : c.y, below = all[all.length - 1];
			all.push(below.map((b, i) => b + Math.max(0, y[i] ?? 0)));
		}
		return all;
	}

	// limits are those of the vertical axis, and its marks.
	limits(curves, layers, place) {
		const f = this.figure;
		let low = Infinity, high = -Infinity;
		const see = v => {
			if (v === null) return;
			low = Math.min(low, v);
			high = Math.max(high, v);
		};
		if (layers) layers.forEach(l => l.forEach(v => see(v)));
		else for (const c of curves) for (const y of [c.y, c.upper, c.lower]) y?.forEach(v => see(place(v)));
		if (f.fixed) [low, high] = [f.low, f.high];
		else if (f.log) [low, high] = [Math.floor(low + 1e-9), Math.ceil(high - 1e-9)];
		else if (f.zero && low >= 0) low = 0;
		if (!Number.isFinite(low) || !Number.isFinite(high)) [low, high] = [0, 1];
		if (low === high) {
			if (f.log) [low, high] = [low - 1, high + 1];
			else if (low === 0) high = 1;
			else [low, high] = [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
		}
		if (f.log) return [low, high, marks(low, high, Math.max(1, Math.ceil((high - low) / 5)))];
		const step = roundStep((high - low) / 4);
		if (!f.fixed && step > 0) [low, high] = [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
		return [low, high, marks(low, high, step)];
	}

	// read shows the values at the cursor, or from first to last.
	read() {
		const d = this.drawn, n = this.data.x.length;
		this.shown = this.cursor;
		this.overlay.replaceChildren();
		const items = [], words = [];
		const at = this.cursor < n ? this.cursor : -1;
		for (const c of this.curves()) {
			let text;
			if (at < 0) text = change(c.y, this.format);
			else {
				const i = c.dots ? nearest(c.x, this.data.x[at]) : at;
				text = this.format(c.y[i]);
				if (c.dots && c.x[i] !== this.data.x[at]) text += ' at step ' + count(c.x[i]);
				const v = d?.place(c.y[i]);
				if (d && !d.layers && v !== null && v !== undefined) element('circle', { class: 'fill-' + c.ink, cx: d.X(c.at[i]), cy: d.Y(v), r: 4 }, this.overlay);
			}
			words.push(c.name + ' ' + text);
			const item = html('li'), key = html('span', 'key key-' + (this.figure.stacked ? beneath(c.ink, 'layer') + ' layer' : c.ink) + (c.dashed ? ' dashed' : ''));
			item.append(key, c.name + ' ', html('b', '', text));
			items.push(item);
			if (c.spread) {
				const band = html('li');
				band.append(html('span', 'key layer key-' + beneath(c.ink, 'band')), c.spread + ' ', html('b', '', at < 0 ? '' : this.format(c.lower[at]) + ' to ' + this.format(c.upper[at])));
				items.push(band);
			}
		}
		this.legend.replaceChildren(...items);
		const shown = at < 0 ? n - 1 : at;
		this.box.setAttribute('aria-valuemax', String(Math.max(1, n)));
		this.box.setAttribute('aria-valuenow', String(Math.max(1, shown + 1)));
		this.box.setAttribute('aria-valuetext', (n ? 'step ' + count(this.data.x[shown]) + ': ' : '') + words.join(', '));
		if (d && at >= 0) {
			const x = d.X(this.data.places()[at]).toFixed(1);
			element('path', { class: 'cursor', d: `M${x},${d.top}V${d.bottom}` }, this.overlay);
		}
	}
}

// change is a curve's first and last value.
export function change(y, format) {
	const first = y.findIndex(ok), last = y.findLastIndex(ok);
	if (first < 0) return 'no values';
	return first === last ? format(y[first]) : format(y[first]) + ' → ' + format(y[last]);
}

// nearest is the last of rising places that is not beyond x, or the first.
function nearest(places, x) {
	const i = places.findLastIndex(p => p <= x);
	return Math.max(0, i);
}

// Axes of the data: what a curve is drawn over. steps has a sum of its own for
// each; another one comes with the data, by its id, and needs nothing here.
export class Data {
	constructor() {
		this.clear();
	}

	clear() {
		this.x = []; // steps done after each record
		this.planned = 0;
		this.sums = new Map(); // by axis, along the records
		this.axes = [{ id: 'step', name: 'steps', unit: 'step' }];
		this.axis = this.axes[0];
		this.figures = [];
	}

	// add takes what the server knows after the records that are here.
	add(more) {
		const n = this.x.length, fresh = more.to - more.from;
		if (more.from !== n) throw new Error('the steps after ' + more.from + ' do not follow ' + n);
		this.planned = more.planned;
		this.x.push(...(more.x ?? []));
		const chosen = this.axis.id;
		this.axes = more.axes;
		for (const a of more.axes) {
			if (a.id === 'step') continue;
			const sums = this.sums.get(a.id) ?? new Array(n).fill(null);
			let sum = sums.findLast(ok) ?? 0;
			for (let i = 0; i < fresh; i++) sums.push(sum += a.each?.[i] ?? 0);
			this.sums.set(a.id, sums);
		}
		this.axis = this.axes.find(a => a.id === chosen) ?? this.axes[0];
		const list = (old, y) => {
			const out = old ?? new Array(n).fill(null);
			for (let i = 0; i < fresh; i++) out.push(y?.[i] ?? null);
			return out;
		};
		const known = new Map(this.figures.map(f => [f.id, f]));
		this.figures = more.figures.map(f => {
			const old = known.get(f.id), before = new Map((old?.curves ?? []).map(c => [c.name, c]));
			f.curves = f.curves.map(c => {
				const was = before.get(c.name);
				if (c.dots) return { ...c, x: c.x ?? [], y: c.y ?? [] };
				return { ...c, y: list(was?.y, c.y), ...('upper' in c ? { upper: list(was?.upper, c.upper), lower: list(was?.lower, c.lower) } : {}) };
			});
			return old ? Object.assign(old, f) : f;
		});
	}

	// places are where the records are on the chosen axis.
	places() {
		return this.axis.id === 'step' ? this.x : this.sums.get(this.axis.id) ?? this.x;
	}

	// placeOf is where a number of steps done is.
	placeOf(done) {
		if (this.axis.id === 'step') return done;
		const i = this.x.findLastIndex(x => x <= done);
		return i < 0 ? 0 : this.places()[i];
	}

	// range is that of the axis: from the first step on; 0 where something came before it.
	range(curves) {
		const places = this.places(), last = places.findLast(ok) ?? 0;
		const before = this.axis.id !== 'step' || curves.some(c => c.dots && c.at[0] < 1);
		const from = before || !places.length ? 0 : Math.min(1, places[0]);
		return [from, Math.max(from + (this.axis.id === 'step' ? 1 : 1e-9), last)];
	}
}
