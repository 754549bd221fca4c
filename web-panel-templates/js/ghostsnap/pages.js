// SPDX-License-Identifier: MIT
// What the pages do beyond links and forms. Everything works without it.
(() => {
	'use strict';

	// A form that is on its way is not sent twice, and says so.
	for (const form of document.querySelectorAll('form.js-ghostsnap-busy')) {
		form.addEventListener('submit', () => {
			const buttons = form.querySelectorAll('button[type="submit"]');
			form.setAttribute('aria-busy', 'true');
			// After the browser has taken the pressed button's value along.
			setTimeout(() => buttons.forEach((button) => (button.disabled = true)));
			// A download leaves the page where it is.
			setTimeout(() => {
				form.removeAttribute('aria-busy');
				buttons.forEach((button) => (button.disabled = false));
			}, 4000);
		});
	}
	// The page may come back out of the browser's memory.
	window.addEventListener('pageshow', () => {
		for (const button of document.querySelectorAll('form.js-ghostsnap-busy button[disabled]')) {
			button.disabled = false;
		}
	});

	// Who writes a path for the copy wants the copy.
	const target = document.querySelector('.js-ghostsnap-target');
	const copy = document.querySelector('#ghostsnap-copy');
	if (target && copy) {
		target.addEventListener('input', () => (copy.checked = true));
	}

	// Fields that are for another choice than the one that is made are out of the way.
	for (const form of document.querySelectorAll('form.js-ghostsnap-choices')) {
		const choose = () => {
			for (const part of form.querySelectorAll('[data-ghostsnap-field]')) {
				const chosen = form.elements[part.dataset.ghostsnapField].value;
				part.hidden = !part.dataset.ghostsnapFor.split(' ').includes(chosen);
			}
		};
		form.addEventListener('change', choose);
		choose();
	}

	// A job that is under way is asked how it goes, until it has ended; then the page shows its result.
	const job = document.querySelector('.js-ghostsnap-job');
	if (job) {
		const find = (name) => job.querySelector(`.js-ghostsnap-${name}`);
		let pause = 700;
		const look = async () => {
			let answer = null;
			try {
				const response = await fetch(job.dataset.address, { credentials: 'same-origin' });
				if (response.status === 403 || response.status === 404 || response.redirected) {
					return;
				}
				answer = response.ok ? await response.json() : null;
			} catch {
				// The line is down or the panel restarts: later.
			}
			if (answer && !answer.active) {
				window.location.reload();
				return;
			}
			if (answer) {
				const state = find('state').querySelector('.ghostsnap-light') ?? find('state');
				const icon = state.querySelector('.fas');
				state.textContent = ` ${answer.state}`;
				if (icon) {
					state.prepend(icon);
				}
				find('runtime').textContent = answer.runtime;
				find('progress').textContent = answer.progress;
				if (answer.percent === null) {
					find('bar').removeAttribute('value');
				} else {
					find('bar').value = answer.percent;
				}
			}
			// A long job is looked at less often.
			pause = Math.min(pause * 1.15, 5000);
			setTimeout(look, pause);
		};
		setTimeout(look, pause);
	}
})();
