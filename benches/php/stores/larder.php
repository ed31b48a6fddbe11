<?php
/**
 * Larder, through the Moodle plugin's store class and the PHP extension.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/computing.php';

use cachestore_larder\configuration;
use core_cache\definition;

/** Larder as Moodle uses it: one bound object of the plugin for each definition, one store of the extension. */
final class LarderStore implements LockingStore {
    /** @var array<string, \cachestore_larder> */
    private array $bound = [];

    private \Larder\Store $store;

    /** Sets that were refused. */
    public int $refused = 0;

    /**
     * @param array<string, string> $options Of the store.
     * @param string[] $definitions
     * @param bool $mayRefuse Whether a set may be refused, as in an outage.
     */
    public function __construct(array $options, array $definitions, private bool $mayRefuse = false) {
        require_once dirname(__DIR__, 3) . '/tests/php/standin/moodle.php';
        $configuration = $options + ['namespace' => 'replay'];
        foreach ($definitions as $id) {
            [$component, $area] = explode('/', $id);
            $this->bound[$id] = new \cachestore_larder('replay', $configuration);
            $this->bound[$id]->initialise(definition::load($id, [
                'mode' => \core_cache\store::MODE_APPLICATION,
                'component' => $component,
                'area' => $area,
                'requiredataguarantee' => in_array($id, Recording::DATA_GUARANTEE, true),
            ]));
        }
        $this->store = \Larder\Store::open(configuration::for_extension($configuration));
    }

    /** In a web server a page is a request, and its first operation a sync. Without the probe the script is one request. */
    public function begin(): void {
        function_exists('larder_probe_next_request') ? larder_probe_next_request() : $this->store->sync();
    }

    /** Fetches what warm processes hold; how many values there were. */
    public function warm(): int {
        return $this->store->warm();
    }

    public function get(string $definition, string $key): mixed {
        return $this->bound[$definition]->get($key);
    }

    public function getMany(string $definition, array $keys): array {
        return $this->bound[$definition]->get_many($keys);
    }

    public function set(string $definition, string $key, mixed $value): void {
        if (!$this->bound[$definition]->set($key, $value)) {
            $this->refused++;
            $this->mayRefuse || throw new \RuntimeException("{$definition} {$key} was not stored");
        }
    }

    public function delete(string $definition, string $key): void {
        $this->bound[$definition]->delete($key);
    }

    public function lock(string $definition, string $key): bool {
        return $this->bound[$definition]->acquire_lock($key, 'bench');
    }

    public function unlock(string $definition, string $key): void {
        $this->bound[$definition]->release_lock($key, 'bench');
    }

    public function purge(string $definition): void {
        $this->bound[$definition]->purge();
    }

    /** Who serves: "primary", "fallback" or "none". */
    public function tier(): string {
        return $this->store->health()['tier'];
    }

    /** @return string[] What there is to log: changes of who serves. */
    public function events(): array {
        return $this->store->events();
    }

    /** A page is over: what its values were made of may be freed. Nothing of them is in use any more. */
    public function end(): void {
        larder_probe_new_request();
    }

    /** Bytes of decoded values, those that the running request may still use included. */
    public function held(): int {
        $stats = $this->store->stats();
        return $stats['near_bytes'] + $stats['graveyard_bytes'];
    }

    /** Reads that this process answered from its own memory so far. */
    public function fromMemory(): int {
        return $this->store->stats()['near_hits'];
    }

    public function roundTrips(): int {
        return $this->store->stats()['round_trips'];
    }
}
