// SPDX-License-Identifier: MIT
// Puts the way to Ghostsnap's pages into the panel: an entry in the main menu and a button beside
// HestiaCP's own backups. It looks for what is there by class names and does nothing where that is
// missing: on the login page, or in a panel that has changed.
(() => {
	'use strict';

	const address = '/list/ghostsnap/';
	const make = (tag, classes, text) => {
		const element = document.createElement(tag);
		element.className = classes;
		if (text) {
			element.textContent = text;
		}
		return element;
	};
	const icon = (name) => {
		const element = make('i', `fas ${name}`);
		element.setAttribute('aria-hidden', 'true');
		return element;
	};

	const addToMenu = () => {
		const menu = document.querySelector('.main-menu .main-menu-list');
		if (!menu || menu.querySelector(`a[href="${address}"]`)) {
			return;
		}
		const link = make('a', 'main-menu-item-link');
		link.href = address;
		link.title = 'Snapshots: browse and restore';
		if (document.body.classList.contains('page-ghostsnap')) {
			link.classList.add('active');
		}
		const label = make('p', 'main-menu-item-label', 'SNAPSHOTS');
		label.append(icon('fa-clock-rotate-left'));
		const stats = make('ul', 'main-menu-stats');
		stats.append(make('li', '', 'browse and restore'));
		link.append(label, stats);
		const item = make('li', 'main-menu-item');
		item.append(link);
		menu.append(item);
	};

	const addToBackups = () => {
		if (!document.body.classList.contains('page-backup')) {
			return;
		}
		const toolbar = document.querySelector('.toolbar .toolbar-buttons');
		if (!toolbar || toolbar.querySelector(`a[href="${address}"]`)) {
			return;
		}
		const button = make('a', 'button button-secondary', 'Snapshots');
		button.href = address;
		button.prepend(icon('fa-clock-rotate-left icon-blue'));
		toolbar.append(button);
	};

	const start = () => {
		addToMenu();
		addToBackups();
	};
	if (document.readyState === 'loading') {
		document.addEventListener('DOMContentLoaded', start);
	} else {
		start();
	}
})();
