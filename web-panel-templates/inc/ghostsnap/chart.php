<?php
// SPDX-License-Identifier: MIT
// A line over time as inline SVG: nothing is fetched, and the colours are the theme's.
namespace Ghostsnap;

/**
 * A chart of sizes over time; each point is [moment in seconds, bytes, what a pointer is told].
 * Returns nothing for less than two points.
 */
function chart(string $title, array $points): string {
	if (count($points) < 2) {
		return "";
	}
	[$width, $height, $left, $top, $bottom] = [960, 320, 80, 15, 30];
	$times = array_column($points, 0);
	[$from, $until] = [min($times), max(max($times), min($times) + 1)];
	$step = nice_step(max(max(array_column($points, 1)), 1) / 4);
	$most = $step * (int) ceil(max(max(array_column($points, 1)), 1) / $step);
	$x = fn($time) => round($left + ($time - $from) / ($until - $from) * ($width - $left - 20), 1);
	$y = fn($bytes) => round($height - $bottom - $bytes / $most * ($height - $top - $bottom), 1);

	$html = "";
	for ($line = 0; $line <= $most; $line += $step) {
		$label = implode(" ", size_parts($line));
		$html .= '<line class="grid" x1="' . $left . '" x2="' . ($width - 20) . '" y1="' . $y($line) . '" y2="' . $y($line) . '"/>' .
			'<text x="' . ($left - 10) . '" y="' . ($y($line) + 4) . '" text-anchor="end">' . h($label) . "</text>";
	}
	// Days, or hours where there are few of them.
	$format = $until - $from > 3 * 86400 ? "d M Y" : "d M H:i";
	$words = fn($time) => date_create("@$time")->setTimezone(zone())->format($format);
	foreach (array_unique([$from, intdiv($from + $until, 2), $until]) as $at => $time) {
		$anchor = ["start", "middle", "end"][$at] ?? "middle";
		$html .= '<text x="' . $x($time) . '" y="' . ($height - 8) . '" text-anchor="' . $anchor . '">' . h($words($time)) . "</text>";
	}
	$path = implode(" ", array_map(fn($point) => $x($point[0]) . "," . $y($point[1]), $points));
	$ends = $x($until) . "," . $y(0) . " " . $x($from) . "," . $y(0);
	$html .= '<polygon class="area" points="' . $path . " " . $ends . '"/><polyline class="line" points="' . $path . '"/>';
	foreach ($points as [$time, $bytes, $text]) {
		$html .= '<circle class="dot" cx="' . $x($time) . '" cy="' . $y($bytes) . '" r="3.5"><title>' . h($text) . "</title></circle>";
	}
	return '<svg class="ghostsnap-chart" viewBox="0 0 ' . $width . " " . $height . '" role="img" aria-label="' . h($title) . '">' . $html . "</svg>";
}

/** A round number of bytes, KB, MB, ... that is not less than this. */
function nice_step(float $least): int {
	$unit = 1;
	while ($least / $unit >= 1000) {
		$unit *= 1024;
	}
	foreach ([1, 2, 5, 10, 20, 50, 100, 200, 500] as $times) {
		if ($unit * $times >= $least) {
			return $unit * $times;
		}
	}
	return $unit * 1024;
}
