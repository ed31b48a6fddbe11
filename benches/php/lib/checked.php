<?php
/**
 * Compares what a store returns with what was recorded.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once dirname(__DIR__) . '/stores/store.php';

/** A store that throws if another value comes out than went in. */
final class CheckedStore implements Store {
    /** @param array<string, array<string, string>> $expected Serialized values by definition and key. */
    public function __construct(private Store $store, private array $expected) {
    }

    public function begin(): void {
        $this->store->begin();
    }

    public function get(string $definition, string $key): mixed {
        return $this->checked($definition, $key, $this->store->get($definition, $key));
    }

    public function getMany(string $definition, array $keys): array {
        $found = $this->store->getMany($definition, $keys);
        foreach ($found as $key => $value) {
            $this->checked($definition, $key, $value);
        }
        return $found;
    }

    public function set(string $definition, string $key, mixed $value): void {
        $this->store->set($definition, $key, $value);
    }

    public function delete(string $definition, string $key): void {
        $this->store->delete($definition, $key);
    }

    public function roundTrips(): int {
        return $this->store->roundTrips();
    }

    /** What another process has just deleted may be missing; it can never be something else. */
    private function checked(string $definition, string $key, mixed $value): mixed {
        $expected = $this->expected[$definition][$key] ?? null;
        if ($value !== false && $expected !== null && serialize($value) !== $expected) {
            throw new \RuntimeException("{$definition} {$key}: the store returned another value");
        }
        return $value;
    }
}
