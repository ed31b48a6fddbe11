<?php
/**
 * What a run shows: titles, progress, tables. Plain text where nobody watches a terminal.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** Standard output, as a terminal or as a log. */
final class Screen {
    private const BAR = 32;

    private bool $terminal;
    private int $quarter = 0;

    public function __construct() {
        $this->terminal = stream_isatty(STDOUT) && getenv('TERM') !== 'dumb';
    }

    public function title(string $text): void {
        echo "\n", $this->style($text, '1'), "\n\n";
    }

    public function line(string $text = ''): void {
        echo $text === '' ? '' : "  {$text}", "\n";
    }

    /** Emphasizes on a terminal. */
    public function strong(string $text): string {
        return $this->style($text, '1;32');
    }

    /** Shows how far something is; a log gets a line each quarter. */
    public function progress(string $what, int $done, int $all): void {
        if ($this->terminal) {
            $full = intdiv(self::BAR * $done, $all);
            $bar = str_repeat('█', $full) . str_repeat('░', self::BAR - $full);
            printf("\r  %s %3d %%  %s of %s %s", $bar, 100 * $done / $all, number_format($done), number_format($all), $what);
            echo $done === $all ? "\n" : '';
        } else if (intdiv(4 * $done, $all) > $this->quarter) {
            $this->quarter = intdiv(4 * $done, $all);
            printf("  %3d %%  %s of %s %s\n", 25 * $this->quarter, number_format($done), number_format($all), $what);
        }
    }

    /**
     * Prints a table: the first column to the left, the others to the right.
     *
     * @param string[] $head
     * @param string[][] $rows An empty row is a rule.
     */
    public function table(array $head, array $rows): void {
        $widths = array_fill(0, count($head), 0);
        foreach ([$head, ...$rows] as $row) {
            foreach ($row as $i => $cell) {
                $widths[$i] = max($widths[$i], characters($cell));
            }
        }
        $rule = '  ' . str_repeat('─', array_sum($widths) + 3 * (count($widths) - 1));
        foreach ([$head, [], ...$rows, []] as $number => $row) {
            if ($row === []) {
                echo $rule, "\n";
                continue;
            }
            $cells = [];
            foreach ($row as $i => $cell) {
                $space = str_repeat(' ', $widths[$i] - characters($cell));
                $cells[] = $i === 0 ? $cell . $space : $space . $cell;
            }
            echo '  ', $this->style(implode('   ', $cells), $number === 0 ? '1' : ''), "\n";
        }
    }

    private function style(string $text, string $code): string {
        return $this->terminal && $code !== '' ? "\e[{$code}m{$text}\e[0m" : $text;
    }
}

/** Characters of a UTF-8 text; without mbstring, which a bare PHP lacks. */
function characters(string $text): int {
    return preg_match_all('/./us', $text);
}
