<?php
/**
 * The way of Moodle's Redis store, to compare with: phpredis, a hash for each definition.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

require_once __DIR__ . '/computing.php';

/** Connects in each page, as a store that keeps nothing between requests does; one round trip for each operation. */
final class RedisStore implements LockingStore {
    private \Redis $redis;
    private int $trips = 0;

    /**
     * @param string $socket Path of a Unix socket, or host:port.
     * @param bool $igbinary Encode with igbinary, not with PHP's own serializer.
     */
    public function __construct(private string $socket, private bool $igbinary) {
        $this->begin();
    }

    public function begin(): void {
        $this->redis = new \Redis();
        if ($this->socket[0] === '/') {
            $this->redis->connect($this->socket);
        } else {
            [$host, $port] = explode(':', $this->socket);
            $this->redis->connect($host, (int)$port);
        }
        // Both sorts may use one server in one run.
        $this->redis->setOption(\Redis::OPT_PREFIX, $this->igbinary ? 'igbinary:' : 'php:');
        $this->redis->setOption(\Redis::OPT_SERIALIZER, $this->igbinary ? \Redis::SERIALIZER_IGBINARY : \Redis::SERIALIZER_PHP);
        $this->trips++;
    }

    public function get(string $definition, string $key): mixed {
        $this->trips++;
        return $this->redis->hGet($definition, $key);
    }

    public function getMany(string $definition, array $keys): array {
        $this->trips++;
        return $this->redis->hMGet($definition, $keys);
    }

    public function set(string $definition, string $key, mixed $value): void {
        $this->trips++;
        $this->redis->hSet($definition, $key, $value);
    }

    public function delete(string $definition, string $key): void {
        $this->trips++;
        $this->redis->hDel($definition, $key);
    }

    /** As Moodle 4.5 does: it looks once a second, for a minute. */
    public function lock(string $definition, string $key): bool {
        for ($looks = 0; $looks < 60; $looks++) {
            $this->trips++;
            if ($this->redis->set("lock:{$definition}:{$key}", 'bench', ['nx', 'ex' => 60])) {
                return true;
            }
            sleep(1);
        }
        return false;
    }

    public function unlock(string $definition, string $key): void {
        $this->trips++;
        $this->redis->del("lock:{$definition}:{$key}");
    }

    public function purge(string $definition): void {
        $this->trips++;
        $this->redis->del($definition);
    }

    public function roundTrips(): int {
        return $this->trips;
    }
}
