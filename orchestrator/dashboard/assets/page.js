// The page of a run: it follows what the run is doing (/api/live), and asks for
// what is new in the run's files. What comes from the run gets into the page as
// text, never as HTML: a model's answers can hold anything.

import { Chart, Data, change, empty } from './charts.js';
import { Answers } from './answers.js';
import { amount, count, formats, percent, plain, reward, span } from './numbers.js';

const $ = id => document.getElementById(id);
const make = (name, className, ...content) => {
	const e = document.createElement(name);
	if (className) e.className = className;
	e.append(...content);
	return e;
};
const last = y => y?.findLast(v => v !== null);

const data = new Data();
const charts = new Map(); // by the figure's id
const answers = new Answers();
let state = null; // the newest
let skew = 0; // of this machine's clock against the run's, milliseconds
let files = {}; // lengths that the page shows
let fetching = false;
let rests = 0; // until when nothing is asked of the files, after something was in vain

// get asks the run; null where it could not be asked, or could not say.
async function get(path) {
	try {
		const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(60000) });
		if (response.status === 401) location.assign('/login');
		const body = await response.json();
		// A run that has no time just now (503) has no fault.
		fault(path, response.ok || response.status === 503 ? '' : body.error?.message ?? 'It was answered with status ' + response.status + '.');
		return response.ok ? body : null;
	} catch {
		return null; // gone: it is asked again when the stream is back
	}
}

// fault says what of the run's files cannot be shown, and why.
const faults = new Map(); // by what was asked for
function fault(path, text) {
	const what = path.split('?')[0];
	if (text) faults.set(what, text);
	else faults.delete(what);
	const all = [...faults.values()].join(' · ');
	$('fault').hidden = !all;
	if ($('fault').textContent !== all) $('fault').textContent = all;
}

// The stream. A browser connects again by itself, but for an answer that is no
// stream, and but for a connection that died without a word. A run streams to so
// many, and a browser has six connections for all its tabs: who is refused, or is
// not looked at, asks for the state now and then instead.
let source, heard = 0, next;

function connect() {
	source?.close();
	source = new EventSource('/api/live');
	heard = Date.now();
	source.addEventListener('state', e => hear(JSON.parse(e.data)));
	source.addEventListener('beat', () => { heard = Date.now(); });
	source.addEventListener('error', e => {
		if (e.target !== source) return;
		if (source.readyState === EventSource.CLOSED) poll(4);
		else lost();
	});
}

function hear(message) {
	heard = Date.now();
	skew = message.now - heard;
	take(message.state);
}

function lost() {
	document.body.dataset.connected = 'no';
	status();
}

// poll asks for the state so many times before it tries to connect.
async function poll(times) {
	clearTimeout(next);
	source.close();
	const message = await get('/api/state');
	if (source.readyState !== EventSource.CLOSED) return; // connected meanwhile
	if (message) hear(message);
	else lost();
	const again = document.hidden || message && times > 1;
	next = setTimeout(() => again ? poll(times - 1) : connect(), document.hidden ? 15000 : 3000);
}

document.addEventListener('visibilitychange', () => {
	clearTimeout(next);
	if (document.hidden) next = setTimeout(() => poll(1), 10000);
	else if (source.readyState === EventSource.CLOSED) connect();
});

// take shows a new state, and gets what is new in the files.
function take(s) {
	if (state && s.assets !== state.assets) {
		location.reload(); // of another version of the program
		return;
	}
	if (state && s.instance !== state.instance) begin();
	state = s;
	document.body.dataset.connected = 'yes';
	document.body.dataset.instance = s.instance;
	status();
	stages();
	servers();
	update();
}

// begin forgets what the page knows: another process has gone on with the run,
// from a checkpoint, and steps may have been taken back.
function begin() {
	data.clear();
	files = {};
	state = null;
}

// update gets what the files have beyond what is shown, one request at a time.
async function update() {
	if (fetching || !state || Date.now() < rests) return;
	fetching = true;
	rests = Date.now() + 5000; // unless all goes well
	try {
		while (state && ['steps', 'validation', 'events'].some(f => state.files[f] !== files[f])) {
			const { instance, files: now } = state, shown = { ...files };
			if (now.steps !== shown.steps || now.validation !== shown.validation) {
				const more = await get('/api/curves?after=' + data.x.length);
				if (!more) return;
				if (more.instance !== instance || state?.instance !== instance) return void (rests = 0); // its state comes with the stream
				if (more.from !== data.x.length) data.clear(); // the file was rewound
				if (more.from === data.x.length) {
					data.add(more);
					curves();
				} else continue;
				[shown.steps, shown.validation] = [now.steps, now.validation];
			}
			if (now.events !== shown.events) {
				const more = await get('/api/events');
				if (!more) return;
				if (more.instance !== instance) return void (rests = 0);
				events(more);
				shown.events = now.events;
			}
			files = shown;
		}
		rests = 0;
	} finally {
		fetching = false;
	}
}

const phases = { sample: 'sampling answers', update: 'updating the weights', publish: 'publishing the weights', validate: 'validating', checkpoint: 'saving a checkpoint', paused: 'paused' };
const elapsed = since => since ? Math.max(0, (Date.now() + skew - since) / 1000) : 0;
// done is how many steps are recorded: what the page shows, once it shows any.
const done = () => data.x.at(-1) ?? 0;

function status() {
	const connected = document.body.dataset.connected === 'yes';
	let kind = 'lost', text = 'Not connected: the run has ended, or is being started again. Trying to reach it…';
	if (connected && state.ended) [kind, text] = ['ended', state.ended];
	else if (!connected && state?.ended) [kind, text] = ['ended', state.ended + ' (the process has ended)'];
	else if (connected) {
		kind = state.phase === 'paused' ? 'waiting' : 'going';
		text = 'Step ' + count(Math.max(state.step + 1, 1)) + ' of ' + count(state.planned) + ': ' + (phases[state.phase] ?? state.phase ?? 'starting');
		if (!state.phase) text = 'Starting';
	}
	$('status').className = 'status ' + kind;
	if ($('status-text').textContent !== text) $('status-text').textContent = text;
	const head = connected && state && !state.ended ? count(Math.max(state.step + 1, 0)) + '/' + count(state.planned) + ' · ' : '';
	document.title = head + $('title').textContent + ' · justrl';
}

// stages are those of a step, in order, with the time that each takes.
function stages() {
	const order = ['sample', 'update', 'publish'];
	for (const p of ['validate', 'checkpoint']) if (state.phase === p || state.took[p]) order.push(p);
	if (state.phase === 'paused') order.push('paused');
	const at = order.indexOf(state.phase);
	$('stages').replaceChildren(...order.map((p, i) => {
		const now = i === at && !state.ended, over = i < at;
		const item = make('li', now ? 'now' : over ? 'done' : '', make('strong', '', phases[p][0].toUpperCase() + phases[p].slice(1)));
		const time = make('span', '', now ? '' : state.took[p] ? (over ? 'took ' : 'last ') + span(state.took[p]) : '–');
		if (now) {
			time.id = 'stage-time';
			item.setAttribute('aria-current', 'step');
		}
		item.append(time);
		return item;
	}));
	progress();
}

// progress is what goes on by itself while the run says nothing new.
function progress() {
	if (!state) return;
	const spent = elapsed(state.began), usual = state.took[state.phase];
	const time = $('stage-time');
	if (time) time.textContent = span(spent) + (usual ? ' (last ' + span(usual) + ')' : '');
	let share = -1, words = [], left;
	const remain = [];
	if (state.of > 0) {
		share = Math.min(1, state.rollouts / state.of);
		words.push(count(state.rollouts) + ' of ' + count(state.of) + ' rollouts' + (state.batch > 1 ? ' of batch ' + state.batch : ''));
		if (state.tokens > 0 && spent > 0) words.push(plain(state.tokens / spent) + ' tokens/s');
		if (state.rollouts > 0) left = spent / state.rollouts * (state.of - state.rollouts);
	} else if (usual > 0) {
		share = Math.min(.99, spent / usual);
		left = Math.max(0, usual - spent);
	}
	if (left !== undefined) {
		remain.push(span(left) + ' of the stage');
		const then = { sample: ['update', 'publish'], update: ['publish'] }[state.phase];
		if (then) remain.push(span(left + then.reduce((sum, p) => sum + (state.took[p] ?? 0), 0)) + ' of the step');
	}
	const run = runLeft();
	if (run !== null) remain.push(span(run) + ' of the run');
	if (remain.length) words.push('left: about ' + remain.join(', '));
	if (state.ended || !state.phase) [share, words] = [state.ended ? 1 : 0, state.ended ? [state.ended] : []];
	const text = words.join(' · '), bar = $('bar');
	if ($('progress-text').textContent !== text) $('progress-text').textContent = text;
	bar.classList.toggle('unknown', share < 0);
	if (share < 0) bar.removeAttribute('aria-valuenow');
	else bar.setAttribute('aria-valuenow', String(Math.round(100 * share)));
	bar.setAttribute('aria-valuetext', text || 'unknown');
	const fill = $('fill'), width = share < 0 ? '' : (100 * share).toFixed(1) + '%';
	fill.style.transition = parseFloat(width) < parseFloat(fill.style.width) ? 'none' : ''; // a stage begins at its beginning
	fill.style.width = width;
	const eta = $('tile-left');
	if (eta) eta.textContent = run === null ? '–' : span(run);
}

// runLeft is how long the run still takes at its present pace; null if nothing tells.
function runLeft() {
	if (!state || state.ended || !(state.pace > 0)) return null;
	return Math.max(0, (state.planned - done()) * state.pace - Math.min(elapsed(state.step_began), state.pace));
}

function tile(name, value, note, was) {
	const dd = make('dd', '');
	if (was) dd.append(make('span', 'was', was + ' ', make('span', 'arrow', '→'), ' '));
	const strong = make('strong', '', value);
	dd.append(strong);
	if (note) dd.append(make('small', '', note));
	return [make('div', '', make('dt', '', name), dd), strong];
}

const figure = id => data.figures.find(f => f.id === id);

function tiles() {
	const all = [];
	const of = (id, name, format, note, i = 0) => {
		const y = figure(id)?.curves[i]?.y, words = y ? change(y, format).split(' → ') : [];
		if (words.length && words[0] !== 'no values') all.push(tile(name, words.at(-1), note, words.length > 1 ? words[0] : '')[0]);
	};
	of('heldout', 'Held-out accuracy', percent, figure('heldout')?.curves[0]?.name);
	of('reward', 'Reward', reward, 'mean of a step, first → last');
	of('length', 'Response length', plain, 'tokens, mean');
	all.push(tile('Steps', count(done()), 'of ' + count(data.planned || state?.planned || 0))[0]);
	const tokens = last(data.sums.get('tokens'));
	if (tokens) all.push(tile('Tokens trained on', amount(tokens), 'at ' + plain(last(figure('throughput')?.curves[0]?.y)) + ' a second')[0]);
	const [eta, value] = tile('Time left', '–', state?.pace ? 'at ' + span(state.pace) + ' a step' : '');
	value.id = 'tile-left';
	all.push(eta);
	$('tiles').replaceChildren(...all);
	progress();
}

// curves shows the data anew.
function curves() {
	const roots = data.figures.filter(f => !empty(f)).map(f => {
		let chart = charts.get(f.id);
		if (!chart) {
			chart = new Chart(f, data, cursor);
			charts.set(f.id, chart);
			watcher.observe(chart.root);
			sizes.observe(chart.box);
			chart.read(); // a screen reader need not wait until it is seen
		}
		chart.figure = f;
		chart.stale = true;
		return chart.root;
	});
	// The first two are the main ones. What is there already is not moved: it may have the focus.
	for (const [place, want] of [[$('main-figures'), roots.slice(0, 2)], [$('more-figures'), roots.slice(2)]]) {
		if (want.length !== place.children.length || want.some((r, i) => r !== place.children[i])) place.replaceChildren(...want);
	}
	const axis = $('axis'), ids = data.axes.map(a => a.id).join();
	if (axis.dataset.ids !== ids) {
		axis.dataset.ids = ids;
		axis.replaceChildren(...data.axes.map(a => new Option(a.name, a.id)));
		axis.value = data.axis.id;
	}
	document.body.dataset.steps = String(data.x.length);
	tiles();
	validation();
	table();
	answers.newStep();
	draw();
	status();
}

let drawing = 0;
function draw() {
	cancelAnimationFrame(drawing);
	drawing = requestAnimationFrame(() => charts.forEach(c => c.draw()));
}

// cursor has all charts that are seen read off the same record.
let reading = 0;
function cursor(i) {
	cancelAnimationFrame(reading);
	reading = requestAnimationFrame(() => charts.forEach(c => {
		if (c.cursor === i) return;
		c.cursor = i;
		if (c.seen && c.drawn) c.read();
	}));
}

const watcher = new IntersectionObserver(entries => {
	for (const e of entries) {
		const chart = [...charts.values()].find(c => c.root === e.target);
		if (chart) chart.seen = e.isIntersecting;
	}
	draw();
}, { rootMargin: '400px' });

const sizes = new ResizeObserver(entries => {
	for (const e of entries) {
		const chart = [...charts.values()].find(c => c.box === e.target);
		if (chart) chart.stale = true;
	}
	draw();
});

const row = (cells, header) => {
	const r = make('tr');
	cells.forEach((c, i) => {
		const cell = make(header || i === 0 ? 'th' : 'td', '', c);
		if (header) cell.scope = 'col';
		else if (i === 0) cell.scope = 'row';
		r.append(cell);
	});
	return r;
};
const fill = (table, head, rows) => table.replaceChildren(make('thead', '', row(head, true)), make('tbody', '', ...rows));

function validation() {
	const sets = (figure('heldout')?.curves ?? []).filter(c => c.y.length);
	$('validation-section').hidden = sets.length === 0;
	fill($('validation-table'), ['answers', 'first', 'best', 'last', 'after step'], sets.map(c => {
		const best = Math.max(...c.y);
		return row([c.name, percent(c.y[0]), percent(best) + ' (step ' + count(c.x[c.y.indexOf(best)]) + ')', percent(c.y.at(-1)), count(c.x.at(-1))]);
	}));
}

const columns = [['reward', 0, 'reward'], ['correct', 0, 'right'], ['length', 0, 'tokens, mean'], ['cut', 0, 'cut off'], ['entropy', 0, 'entropy'], ['clip', 0, 'clipped'],
	['kl', 0, 'policy KL'], ['grad', 0, 'gradient'], ['mismatch-kl', 0, 'mismatch KL'], ['throughput', 0, 'tokens/s']];

// table is the last steps in words and figures: what the curves end with.
function table() {
	const n = data.x.length, rows = [];
	for (let i = n - 1; i >= Math.max(0, n - 12); i--) {
		rows.push(row([count(data.x[i]), ...columns.map(([id, c]) => {
			const f = figure(id);
			return f ? (formats[f.format] ?? plain)(f.curves[c].y[i]) : '–';
		})]));
	}
	fill($('steps-table'), ['step', ...columns.map(c => c[2])], rows);
}

function servers() {
	const all = state.servers ?? [], tokens = all.reduce((sum, s) => sum + s.tokens, 0), why = all.some(s => s.why) ? ['why'] : [];
	$('servers-section').hidden = all.length === 0;
	fill($('servers-table'), ['server', 'state', 'since', 'samples under way', 'weights version', 'share of tokens', ...why], all.map(s => {
		const r = row([s.name, s.fenced ? 'out' : 'up', new Date(s.since).toLocaleTimeString(), count(s.in_flight) + ' of ' + count(s.limit), count(s.version), tokens ? percent(100 * s.tokens / tokens) : '–', ...why.map(() => s.why ?? '')]);
		r.children[1].className = s.fenced ? 'state-out' : 'state-up';
		if (why.length) r.children[6].className = 'words';
		return r;
	}));
	if (why.length) $('servers-table').querySelector('thead th:last-child').className = 'words';
}

function events(more) {
	$('events-section').hidden = more.events.length === 0;
	$('events-list').replaceChildren(...more.events.toReversed().map(e => {
		const when = new Date(e.time);
		const about = 'after step ' + count(e.step + 1) + ', ' + (Number.isNaN(when.getTime()) ? '' : when.toLocaleString());
		const evidence = Object.entries(e.evidence ?? {}).map(([k, v]) => k + ' ' + plain(v)).join(', ');
		return make('li', ['stop', 'pause'].includes(e.action) ? e.action : 'warn', make('strong', '', e.action + ': ' + e.signature.replaceAll('_', ' ')), ' ' + e.message, make('span', 'when', about + (evidence ? ' (' + evidence + ')' : '')));
	}));
}

$('axis').addEventListener('change', e => {
	data.axis = data.axes.find(a => a.id === e.target.value) ?? data.axes[0];
	charts.forEach(c => { c.stale = true; });
	draw();
});

answers.get = get;
setInterval(() => {
	progress();
	update(); // of what was in vain
	if (source.readyState !== EventSource.CLOSED && Date.now() - heard > 45000) connect(); // it died without a word
}, 1000);
connect();
