<?php
/**
 * A PHP array, to compare with: what no store can beat, and what the replay itself costs.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** Values in an array of this process. */
final class MemoryStore implements Store {
    private array $values = [];

    public function begin(): void {
    }

    public function get(string $definition, string $key): mixed {
        // Some recorded values are null.
        return $this->values[$definition][$key] ?? (array_key_exists($key, $this->values[$definition] ?? []) ? null : false);
    }

    public function getMany(string $definition, array $keys): array {
        $found = [];
        foreach ($keys as $key) {
            $found[$key] = $this->get($definition, $key);
        }
        return $found;
    }

    public function set(string $definition, string $key, mixed $value): void {
        $this->values[$definition][$key] = $value;
    }

    public function delete(string $definition, string $key): void {
        unset($this->values[$definition][$key]);
    }

    public function roundTrips(): int {
        return 0;
    }
}
