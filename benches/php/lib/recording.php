<?php
/**
 * The recorded requests of a real site, see benches/data/moodle45/README.md.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/page.php';

/** A recording: the values that caches held and what each request asked of them. */
final class Recording {
    /**
     * Definitions that demand of a store never to lose an entry. The recording does not say it, Moodle's
     * lib/db/caches.php does, and the plugin treats them otherwise.
     */
    public const DATA_GUARANTEE = ['core/eventinvalidation'];

    /** @var array<string, array<string, mixed>> Values by definition and key. */
    public readonly array $values;

    /** @var array<string, array<string, string>> The same, as PHP serializes them. */
    public readonly array $serialized;

    /** @var array<int, Page> The requests, in order. */
    public readonly array $pages;

    /**
     * Reads a recording.
     *
     * @param string $directory
     */
    public function __construct(string $directory) {
        $values = $serialized = [];
        foreach (self::lines("{$directory}/values.jsonl.gz") as $line) {
            $serialized[$line['d']][$line['k']] = base64_decode($line['php']);
            $values[$line['d']][$line['k']] = unserialize($serialized[$line['d']][$line['k']]);
        }
        $this->values = $values;
        $this->serialized = $serialized;
        $requests = iterator_to_array(self::lines("{$directory}/requests.jsonl.gz"), false);
        $names = array_combine(array_keys($values), array_keys($values));
        $this->pages = array_map(function ($request) use ($values, &$names) {
            return Page::of($request['ops'], $values, $names);
        }, $requests);
    }

    /** All definitions that occur. */
    public function definitions(): array {
        $names = array_fill_keys(array_keys($this->values), true);
        foreach ($this->pages as $page) {
            $names += array_fill_keys(array_column($page->ops, 1), true);
        }
        return array_keys($names);
    }

    /** The numbers of the pages that write nothing when all their reads hit. */
    public function readers(): array {
        return array_keys(array_filter($this->pages, fn($page) => $page->writes === 0));
    }

    /** Bytes of all values as PHP serializes them. */
    public function bytes(): int {
        return array_sum(array_map(fn($values) => array_sum(array_map('strlen', $values)), $this->serialized));
    }

    private static function lines(string $path): \Generator {
        $bytes = @file_get_contents($path) ?: throw new \RuntimeException("{$path} cannot be read");
        foreach (explode("\n", trim(gzdecode($bytes))) as $line) {
            yield json_decode($line, true, 512, JSON_THROW_ON_ERROR);
        }
    }
}
