// Answers with their verdicts, loaded when they are wanted.

import { count } from './numbers.js';

const $ = id => document.getElementById(id);
const make = (name, className, ...content) => {
	const e = document.createElement(name);
	if (className) e.className = className;
	e.append(...content);
	return e;
};

// spans is an answer cut to what can be shown, its box marked; all of it is text.
function spans(list) {
	const answer = make('div', 'answer');
	for (const s of list ?? []) {
		if (s.Left) answer.append(make('span', 'left', '… ' + s.Text + ' characters left out …'));
		else answer.append(s.Boxed ? make('mark', '', s.Text) : s.Text);
	}
	if (!list?.length) answer.append(make('span', 'left', '(empty)'));
	return answer;
}

function block(a, when) {
	const verdict = make('p', 'verdict ' + (a.Right ? 'right' : 'wrong'), when ? when + ': ' : '', make('strong', '', a.Verdict));
	for (const note of [a.Problem, a.Note]) if (note) verdict.append(' ', make('small', '', note));
	return make('div', 'answer-block', verdict, spans(a.Spans));
}

export class Answers {
	constructor() {
		this.get = null; // asks the run
		this.shown = null; // step, from 0
		this.loading = 0; // number of the newest request
		$('answers-form').addEventListener('submit', e => {
			e.preventDefault();
			const n = $('answers-step').valueAsNumber;
			this.load(Number.isNaN(n) ? null : n - 1);
		});
		$('answers-newest').addEventListener('click', () => this.load(null));
		$('answers-follow').addEventListener('change', e => { if (e.target.checked) this.load(null); });
		$('heldout-show').addEventListener('click', () => this.heldOut());
		new IntersectionObserver((entries, self) => {
			this.near = entries.some(e => e.isIntersecting);
			if (this.near && this.shown === null && this.get) this.load(null);
		}).observe($('answers-section'));
	}

	// newStep is told that there is one.
	newStep() {
		if ($('answers-follow').checked || this.near && this.shown === null) this.load(null);
	}

	// load shows a step's answers, the newest's for null.
	async load(step) {
		const mine = ++this.loading;
		const found = await this.get('/api/rollouts' + (step === null ? '' : '?step=' + step));
		if (mine !== this.loading) return;
		if (!found) {
			$('answers-about').textContent = 'They could not be shown' + (this.shown === null ? '.' : '; below are those of step ' + count(this.shown + 1) + '.');
			return;
		}
		const field = $('answers-step'), kept = found.steps ?? [];
		if (kept.length) [field.min, field.max] = [kept[0] + 1, kept.at(-1) + 1];
		const range = kept.length ? 'Kept are those of steps ' + count(kept[0] + 1) + ' to ' + count(kept.at(-1) + 1) + '.' : 'None are kept yet.';
		if (!found.excerpt) {
			$('answers-about').textContent = found.step >= 0 ? 'The answers of step ' + count(found.step + 1) + ' are not kept. ' + range : range;
			$('answers-list').replaceChildren();
			return;
		}
		this.shown = found.step;
		field.value = String(found.step + 1);
		$('answers-about').textContent = 'Step ' + found.excerpt.Step + ': ' + found.excerpt.About + ' The first of each kind, one a problem; nobody chose them. ' + range;
		$('answers-list').replaceChildren(...(found.excerpt.Answers ?? []).map(a => block(a)));
	}

	// heldOut shows held-out problems answered before and after, or hides them.
	async heldOut() {
		const button = $('heldout-show'), list = $('heldout');
		if (button.getAttribute('aria-expanded') === 'true') {
			button.setAttribute('aria-expanded', 'false');
			button.textContent = 'Show answers before and after';
			list.replaceChildren();
			return;
		}
		const found = await this.get('/api/heldout');
		if (!found) return;
		button.setAttribute('aria-expanded', 'true');
		button.textContent = 'Hide the answers';
		if (!found.sets.length) list.append(make('p', 'about', 'There are no two measurements yet whose answers are kept.'));
		for (const set of found.sets) {
			list.append(make('h3', '', set.Set), make('p', 'about', set.About));
			const counts = make('dl', 'counts');
			for (const c of set.Counts) counts.append(make('div', c.Class, make('dt', '', c.Name), make('dd', '', make('strong', '', c.Count), ' ', make('small', '', c.Share))));
			list.append(counts);
			for (const e of set.Examples ?? []) {
				const head = make('h4', '', e.Change + ' ', make('small', '', e.Problem));
				list.append(make('article', 'example ' + e.Class, head, make('div', 'question', e.Question), make('p', 'truth', 'Known answer: ', make('code', '', e.Truth)),
					make('div', 'pair', block(e.Before, e.Before.When), block(e.After, e.After.When))));
			}
		}
	}
}
