<?php
// This file is part of Moodle - http://moodle.org/
//
// Moodle is free software: you can redistribute it and/or modify
// it under the terms of the GNU General Public License as published by
// the Free Software Foundation, either version 3 of the License, or
// (at your option) any later version.
//
// Moodle is distributed in the hope that it will be useful,
// but WITHOUT ANY WARRANTY; without even the implied warranty of
// MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE.  See the
// GNU General Public License for more details.
//
// You should have received a copy of the GNU General Public License
// along with Moodle.  If not, see <http://www.gnu.org/licenses/>.

namespace cachestore_larder\session;

use cachestore_larder\configuration;
use cachestore_larder\error_log;
use core\session\exception;

/**
 * Where sessions are: the extension's store, opened when it is needed, and its caches.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class server {
    /** @var \Larder\Store|null Null until it is needed. */
    private $store = null;

    /**
     * The configuration of the extension's store for sessions.
     *
     * @return array
     * @throws \InvalidArgumentException
     */
    public static function configuration(): array {
        global $CFG;
        $config = $CFG->session_larder ?? [];
        if (!$config) {
            $instances = configuration::instances();
            if (!$instances) {
                throw new \InvalidArgumentException('there is no Larder instance and no $CFG->session_larder');
            }
            $config = reset($instances)['configuration'];
        }
        // Sessions outlive a new generation of the caches, and a new version of the code. No process shares them.
        $config = configuration::for_extension(['generation' => '', 'code_epoch' => '', 'node_tier' => ''] + $config);
        // A namespace has at most 100 characters.
        $config['namespace'] = substr($config['namespace'], 0, 91) . '-sessions';
        return $config;
    }

    /**
     * The extension's store.
     *
     * @return \Larder\Store
     * @throws exception When it cannot be opened.
     */
    public function store(): \Larder\Store {
        if ($this->store === null) {
            try {
                $this->store = \Larder\Store::open(self::configuration());
            } catch (\Throwable $e) {
                throw new exception('sessionhandlerproblem', 'error', '', null, $e->getMessage());
            }
            error_log::follow('sessions', $this->store);
        }
        return $this->store;
    }

    /**
     * Data and records.
     *
     * @param int|null $lifetime Of what is written, in seconds.
     * @return \Larder\Cache
     */
    public function cache(?int $lifetime = null): \Larder\Cache {
        return $this->store()->cache('sessions', ['near' => false, 'ttl' => $lifetime]);
    }

    /**
     * The sessions of users.
     *
     * @param int|null $lifetime Of what is written, in seconds.
     * @return \Larder\Cache
     */
    public function index(?int $lifetime = null): \Larder\Cache {
        return $this->store()->cache('users', ['near' => false, 'ttl' => $lifetime]);
    }

    /**
     * Reads entries.
     *
     * @param string[] $keys
     * @return array Those that there are.
     * @throws exception When the server is away, because what is missing then is no sign that there is nothing.
     */
    public function fetch(array $keys): array {
        $errors = $this->errors();
        $found = $this->cache()->getMany($keys);
        if (!$found && $this->errors() !== $errors) {
            $this->fail();
        }
        return $found;
    }

    /**
     * How often the server did not answer or refused.
     *
     * @return int
     */
    public function errors(): int {
        return $this->store()->stats()['errors'];
    }

    /**
     * The server is away.
     *
     * @throws exception
     */
    public function fail(): never {
        $reason = $this->store()->reach()['error'] ?? 'the server did not answer';
        error_log::log("sessions cannot be used: {$reason}");
        throw new exception('sessionstarterror', 'error', '', null, $reason);
    }
}
