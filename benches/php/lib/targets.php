<?php
/**
 * What a measurement should show, and whether it does.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** A table of targets. Nothing ends because one is missed: a busy machine says little. */
final class Targets {
    private array $rows = [];

    /** A share of a time: `$ours` should be at most 1/`$part` of `$theirs`. */
    public function share(string $what, float $ours, float $theirs, int $part): self {
        return $this->row($what, "1/{$part}", sprintf('1/%.0f', $theirs / $ours), $ours * $part <= $theirs);
    }

    /** A number that should be at most `$limit`. */
    public function atMost(string $what, float $number, float $limit, string $unit): self {
        return $this->row($what, "≤ {$limit} {$unit}", sprintf('%.2f %s', $number, $unit), $number <= $limit);
    }

    /** A number that should be at least `$limit`. */
    public function atLeast(string $what, float $number, float $limit, string $unit): self {
        return $this->row($what, "≥ {$limit} {$unit}", sprintf('%.2f %s', $number, $unit), $number >= $limit);
    }

    /** Words that should be so. */
    public function holds(string $what, array $found, array $wanted): self {
        return $this->row($what, implode(', ', $wanted), implode(', ', $found), $found === $wanted);
    }

    public function show(Screen $screen): void {
        $screen->line();
        $screen->table(['target', 'wanted', 'measured', ''], $this->rows);
    }

    private function row(string $what, string $wanted, string $measured, bool $met): self {
        $this->rows[] = [$what, $wanted, $measured, $met ? 'pass' : 'FAIL'];
        return $this;
    }
}
