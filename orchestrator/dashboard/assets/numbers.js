// Numbers for people, as package numerals writes them in the reports.

const none = '–';
const finite = x => x !== null && Number.isFinite(x) && Math.abs(x) <= 1e300;
const signed = s => s.replace('-', '−');
const group = s => s.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
const superscript = n => String(n).replace(/./g, c => c === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[c]);

const power = (x, digits) => {
	const [mantissa, exponent] = x.toExponential(digits - 1).split('e');
	return signed(mantissa) + '×10' + superscript(Number(exponent));
};

// plain writes about three significant digits.
export function plain(x) {
	const a = Math.abs(x);
	if (!finite(x)) return none;
	if (a === 0) return '0';
	if (a >= 1e7) return power(x, 3);
	if (a === Math.trunc(a) || a >= 100) return signed(group(x.toFixed(0)));
	if (a >= 10) return signed(x.toFixed(1));
	if (a >= 1) return signed(x.toFixed(2));
	if (a >= .001) return signed(x.toFixed(2 - Math.floor(Math.log10(a))));
	return power(x, 2);
}

export function reward(x) {
	return finite(x) ? signed((x < 0 ? '' : '+') + x.toFixed(3)) : none;
}

// percent writes a number that is in percent already.
export function percent(x) {
	const a = Math.abs(x);
	if (!finite(x)) return none;
	if (a === 0) return '0\u00a0%';
	if (a < .005) return power(x, 1) + '\u00a0%';
	return signed(x.toFixed(a < 1 ? 2 : 1)) + '\u00a0%';
}

export function seconds(x) {
	if (!finite(x)) return none;
	return x !== 0 && Math.abs(x) < .001 ? '<\u00a00.001\u00a0s' : plain(x) + '\u00a0s';
}

export const formats = { plain, reward, percent, seconds };

export const count = n => signed(group(String(Math.round(n))));

// amount is a large number in words, and a smaller one exactly.
export function amount(x) {
	if (!finite(x)) return none;
	for (const [size, name] of [[1e12, 'trillion'], [1e9, 'billion'], [1e6, 'million']]) {
		if (Math.abs(x) >= size) return (x / size).toFixed(1) + '\u00a0' + name;
	}
	return count(x);
}

// span writes the two largest units of a time in seconds.
export function span(s) {
	if (!finite(s) || s < 0) return none;
	if (s > 0 && s < .05) return '<\u00a00.1\u00a0s';
	if (s < 10) return s.toFixed(1) + '\u00a0s';
	const n = Math.round(s);
	if (n < 60) return n + '\u00a0s';
	if (n < 3600) return Math.floor(n / 60) + '\u00a0min ' + n % 60 + '\u00a0s';
	const minutes = Math.round(s / 60);
	if (minutes < 1440) return Math.floor(minutes / 60) + '\u00a0h ' + minutes % 60 + '\u00a0min';
	const hours = Math.round(s / 3600);
	return Math.floor(hours / 24) + '\u00a0d ' + hours % 24 + '\u00a0h';
}

// tick writes a mark of an axis with no more digits than it has.
export function tick(x) {
	const a = Math.abs(x);
	if (a === 0) return '0';
	if (a >= 1e7 || a < .001) {
		const exponent = Math.floor(Math.log10(a) + 1e-9);
		return signed(String(Number((x / 10 ** exponent).toFixed(2)))) + '×10' + superscript(exponent);
	}
	return signed(a >= 1000 ? group(String(Number(x.toFixed(0)))) : String(Number(x.toFixed(4))));
}

export const powerTick = e => '10' + superscript(e);

// roundStep is the least of 1, 2, 2.5 and 5 times a power of ten that is at least x.
export function roundStep(x) {
	if (!(x > 0) || !finite(x)) return 0;
	const base = 10 ** Math.floor(Math.log10(x));
	for (const m of [1, 2, 2.5, 5]) if (m * base >= x * (1 - 1e-9)) return m * base;
	return 10 * base;
}

// marks are the multiples of step within low and high.
export function marks(low, high, step) {
	const all = [];
	if (!(step > 0) || !finite(step)) return all;
	for (let i = Math.ceil(low / step - 1e-6); i <= high / step + 1e-6 && all.length < 50; i++) {
		const unit = step / 1000;
		all.push(i === 0 ? 0 : Math.round(i * step / unit) * unit);
	}
	return all;
}
