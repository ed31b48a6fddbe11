<?php
/**
 * What the rest of a fleet changes, in the proportions of a recording.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/recording.php';

/**
 * Changes to draw from. How often a definition is changed, and how, is as in the recording. The keys are those of other users, courses
 * and components, {@see OTHERS} for each definition; one change in {@see OWN} is of a recorded key.
 */
final class Changes {
    private const OTHERS = 2000;
    private const OWN = 1000;

    /** What is stored under a key that the recording does not have, in bytes. */
    private const BYTES = 1024;

    /** @var list<array{string, string, string}> Operation, definition and key of each recorded change. */
    private array $recorded = [];

    public function __construct(private Recording $recording) {
        foreach ($recording->pages as $page) {
            foreach ($page->ops as [$operation, $definition, $keys]) {
                if (in_array($operation, ['fill', 'set', 'delete'], true)) {
                    foreach ((array)$keys as $key) {
                        $this->recorded[] = [$operation === 'delete' ? 'delete' : 'set', $definition, $key];
                    }
                }
            }
        }
        mt_srand(1);
    }

    /** Makes so many changes in a store, one by one. */
    public function make(Store $store, int $count): void {
        for ($i = 0; $i < $count; $i++) {
            [$operation, $definition, $key] = $this->draw();
            $value = $this->recording->values[$definition][$key] ?? str_repeat('.', self::BYTES);
            $operation === 'delete' ? $store->delete($definition, $key) : $store->set($definition, $key, $value);
        }
    }

    /** @return array{string, string, string} The operation, definition and key of the next change. */
    public function draw(): array {
        [$operation, $definition, $key] = $this->recorded[mt_rand(0, count($this->recorded) - 1)];
        return [$operation, $definition, mt_rand(1, self::OWN) === 1 ? $key : 'other' . mt_rand(1, self::OTHERS)];
    }
}
