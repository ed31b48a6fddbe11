<?php
/**
 * Tables that are shown and kept.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** What a run shows, kept as Markdown. */
final class Report {
    private string $markdown = '';

    public function __construct(private Screen $screen) {
    }

    public function title(string $text): void {
        $this->screen->title($text);
        $this->markdown .= ($this->markdown === '' ? '# ' : "\n## ") . "{$text}\n\n";
    }

    public function line(string $text): void {
        $this->screen->line($text);
        $this->markdown .= "{$text}\n";
    }

    /**
     * @param string[] $head
     * @param string[][] $rows
     */
    public function table(array $head, array $rows): void {
        $head = array_map('strval', $head);
        $this->screen->table($head, $rows);
        $line = fn(array $cells) => '| ' . implode(' | ', $cells) . " |\n";
        $this->markdown .= $line($head) . $line(array_fill(0, count($head), '---')) . implode('', array_map($line, $rows)) . "\n";
    }

    public function save(string $file): void {
        file_put_contents($file, $this->markdown);
    }
}
