<?php
// SPDX-License-Identifier: MIT
// Whose pages these are and what the session may do there. Whom a page is about comes from the session
// and from nowhere else. The rules are HestiaCP's; its commands do not know them, so they hold here.
namespace Ghostsnap;

/** The user that the customer's pages are about: the one who is logged in or looked after. */
function account(): string {
	$look = (string) ($_SESSION["look"] ?? "");
	return $look !== "" && is_admin() ? $look : (string) $_SESSION["user"];
}

function is_admin(): bool {
	return ($_SESSION["userContext"] ?? "") === "admin";
}

/** Whether the pages of the server may be shown: to an administrator who looks after nobody. */
function may_see_server(): bool {
	return is_admin() && (string) ($_SESSION["look"] ?? "") === "";
}

/** Ends the request of anybody else. */
function only_for_admins(): void {
	if (!may_see_server()) {
		go("/list/ghostsnap/");
	}
}

function has_policy(string $name): bool {
	return ($_SESSION["POLICY_" . $name] ?? "") === "yes";
}

function root_user(): string {
	return (string) ($_SESSION["ROOT_USER"] ?? "admin");
}

/** What is known of whoever is logged in, asked once. */
function suspension(): Answer {
	static $answer = null;
	return $answer ??= ask("v-ghostsnap-list-user", (string) $_SESSION["user"], "json");
}

/** Whether whoever is logged in is suspended. One of whom that cannot be learned counts as such. */
function is_suspended(): bool {
	return (suspension()->row()["SUSPENDED"] ?? "") !== "no";
}

/**
 * Ends the request of a suspended user, unless the policy lets such users look. HestiaCP does so where
 * it shows its frame, which is too late for a page that acts or that prints before.
 */
function only_if_let_in(): void {
	// The policy first: it needs no command.
	if (has_policy("USER_VIEW_SUSPENDED") || (string) ($_SESSION["look"] ?? "") !== "" || !is_suspended()) {
		return;
	}
	if (suspension()->failed()) {
		// Nobody is taken for somebody who may, and nobody is sent away without a word.
		http_response_code(503);
		exit(h(say("Who you are cannot be looked up: %s", suspension()->problem())));
	}
	// A page of HestiaCP's own, which logs the user out.
	go("/list/backup/");
}

/** Whether this session looks at the protected account of the server, and at nothing else. */
function is_protected(): bool {
	return is_admin() && ($_SESSION["look"] ?? "") === root_user() && has_policy("SYSTEM_PROTECTED_ADMIN");
}

/** Whether HestiaCP lets this session look at the account only. */
function is_read_only(): bool {
	$is_own = (string) ($_SESSION["look"] ?? "") === "";
	return is_protected() || ($is_own && has_policy("USER_VIEW_SUSPENDED") && is_suspended());
}

/** Ends the request of a session that may look only. */
function only_if_may_change(): void {
	if (is_read_only()) {
		leave_note("danger", say("This account can only be looked at."));
		go("/list/ghostsnap/?view=own");
	}
}

/** Whether the administrator may see that this user exists; nobody's own things are everybody's. */
function may_see(string $user): bool {
	return $user !== root_user() || $_SESSION["user"] === root_user() || !has_policy("SYSTEM_HIDE_ADMIN");
}

/** Whether the administrator may change something of this user from the pages of the server. */
function may_change(string $user): bool {
	$is_guarded = $user === root_user() && $_SESSION["user"] !== root_user();
	return may_see($user) && !($is_guarded && has_policy("SYSTEM_PROTECTED_ADMIN"));
}

/** Lets only a POST with the session's token through. */
function only_by_post(): void {
	if ($_SERVER["REQUEST_METHOD"] !== "POST") {
		go("/list/ghostsnap/");
	}
	\verify_csrf(["token" => given($_POST, "token")]);
}
