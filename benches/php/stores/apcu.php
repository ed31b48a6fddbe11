<?php
/**
 * APCu, to compare with: fast, but each web node would have a cache of its own that others cannot invalidate.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/** Shared memory of one node. On the command line each process has its own. */
final class ApcuStore implements Store {
    public function begin(): void {
    }

    public function get(string $definition, string $key): mixed {
        return apcu_fetch("{$definition}/{$key}");
    }

    public function getMany(string $definition, array $keys): array {
        $found = [];
        foreach ($keys as $key) {
            $found[$key] = $this->get($definition, $key);
        }
        return $found;
    }

    public function set(string $definition, string $key, mixed $value): void {
        apcu_store("{$definition}/{$key}", $value) || throw new \RuntimeException('apc.enable_cli is off or apc.shm_size too small');
    }

    public function delete(string $definition, string $key): void {
        apcu_delete("{$definition}/{$key}");
    }

    public function roundTrips(): int {
        return 0;
    }
}
