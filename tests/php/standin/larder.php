<?php
/**
 * The extension's interface in memory, for testing the plugin where the extension is not built.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder;

class Exception extends \Exception {
}

class ConfigException extends Exception {
}

class ValueException extends Exception {
}

final class Store {
    private const SETTINGS = [
        'server', 'username', 'password', 'ca_file', 'namespace', 'fallback', 'near_bytes', 'max_staleness',
        'connect_timeout', 'read_timeout', 'lock_lease', 'lock_wait', 'generation', 'compress_from', 'seal_key',
        'node_tier', 'code_epoch',
    ];

    /** What health() and news() say. Tests change it. */
    public static array $health = ['reachable' => true];
    public static array $news = [];

    /** Entries by namespace and cache. */
    public static array $entries = [];

    private function __construct(private string $namespace) {
    }

    public static function open(array $config): self {
        foreach (array_diff(array_keys($config), self::SETTINGS) as $name) {
            throw new ConfigException("unknown setting {$name}");
        }
        if (!preg_match('~^(redis|rediss|redis\+unix|redis-cluster|redis-sentinel|dir|local):~', $config['server'] ?? '')) {
            throw new ConfigException('server: not a URL of a known kind');
        }
        return new self(($config['namespace'] ?? '') . '/' . ($config['generation'] ?? ''));
    }

    public function cache(string $name, array $options = []): Cache {
        self::$entries[$this->namespace][$name] ??= [];
        return new Cache(self::$entries[$this->namespace][$name], $options['ttl'] ?? null);
    }

    public function health(): array {
        return self::$health;
    }

    public function news(): array {
        return array_splice(self::$news, 0);
    }
}

final class Cache {
    private array $entries;

    public function __construct(array &$entries, private ?int $ttl) {
        $this->entries = &$entries;
    }

    public function get(string $key, mixed $default = null): mixed {
        return $this->has($key) ? unserialize($this->entries[$key][0]) : $default;
    }

    public function getMany(array $keys): array {
        $found = [];
        foreach ($keys as $key) {
            if ($this->has($key)) {
                $found[$key] = $this->get($key);
            }
        }
        return $found;
    }

    public function set(string $key, mixed $value, ?int $ttl = null): bool {
        $ttl ??= $this->ttl;
        try {
            $this->entries[$key] = [serialize($value), $ttl === null ? PHP_INT_MAX : time() + $ttl];
        } catch (\Exception $e) {
            throw new ValueException($e->getMessage(), 0, $e);
        }
        return true;
    }

    public function setMany(array $items): int {
        foreach ($items as $key => $value) {
            $this->set($key, $value);
        }
        return count($items);
    }

    public function delete(string $key): bool {
        $had = $this->has($key);
        unset($this->entries[$key]);
        return $had;
    }

    public function deleteMany(array $keys): int {
        return count(array_filter($keys, fn($key) => $this->delete($key)));
    }

    public function has(string $key): bool {
        return isset($this->entries[$key]) && $this->entries[$key][1] > time();
    }

    public function hasAny(array $keys): bool {
        return (bool)array_filter($keys, fn($key) => $this->has($key));
    }

    public function hasAll(array $keys): bool {
        return count(array_filter($keys, fn($key) => $this->has($key))) === count($keys);
    }

    public function purge(): bool {
        $this->entries = [];
        return true;
    }

    public function keys(?string $prefix = null): array {
        $keys = array_map('strval', array_keys($this->entries));
        return array_values(array_filter($keys, fn($key) => $prefix === null || str_starts_with($key, $prefix)));
    }
}
