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
use core\clock;
use core\di;
use core\session\exception;
use stdClass;

/**
 * Keeps Moodle's sessions in Larder: $CFG->session_handler_class = '\cachestore_larder\session\handler'.
 *
 * The server is that of $CFG->session_larder, an array as of the store's configuration; without it that of the first Larder
 * instance. Sessions have a namespace of their own there, so that nothing that empties caches logs anybody out. Other
 * settings, with their defaults:
 *
 *     $CFG->session_larder_acquire_lock_timeout = 120; // Seconds to wait for a session that another request has locked.
 *     $CFG->session_larder_acquire_lock_warn = 0;      // Waits that took longer are logged; 0 = none.
 *     $CFG->session_larder_max_waiters = 0;            // Requests that may wait for one session; 0 = any number.
 *
 * A session is two entries, its data and its record, so that a request which only updates the record needs no lock. A
 * request that may write locks the data: the one that waited for longest is woken when the lock is released, nobody polls.
 * The data is written only while the lock is held, which the server checks in the same step. A third entry finds the
 * sessions of a user.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class handler extends \core\session\handler implements \SessionHandlerInterface {
    /** @var int Seconds that the session of somebody lives who came once and did not log in. */
    private const FIRST_ACCESS = 180;

    /** @var int How many records are fetched at once. */
    private const BATCH = 100;

    /** @var int Seconds to wait for a lock at the most. */
    private $timeout;

    /** @var int Seconds of a wait that is logged; 0 = none. */
    private $warning;

    /** @var int How many requests may wait for one session; 0 = any number. */
    private $maxwaiters;

    /** @var clock */
    private $clock;

    /** @var \Larder\Store|null Null until it is needed. */
    private $store = null;

    /** @var string[] Owners of the locks that are held, by session id. */
    private $locks = [];

    /** @var array Hashes of the data that was read or written, by session id. */
    private $hashes = [];

    /** @var stdClass[] Records as this request knows them, by session id. */
    private $records = [];

    /** @var bool[] The sessions whose data is to live longer, by session id. */
    private $extended = [];

    /**
     * Reads the settings. Does not connect.
     */
    public function __construct() {
        global $CFG;
        $this->timeout = (int)($CFG->session_larder_acquire_lock_timeout ?? 120);
        $this->warning = (int)($CFG->session_larder_acquire_lock_warn ?? 0);
        $this->maxwaiters = (int)($CFG->session_larder_max_waiters ?? 0);
        $this->clock = di::get(clock::class);
    }

    /**
     * Makes PHP use this handler. Does not connect.
     *
     * @return bool
     */
    #[\Override]
    public function init(): bool {
        $this->store();
        if (!session_set_save_handler($this)) {
            throw new exception('sessionhandlerproblem', 'error');
        }
        return true;
    }

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
     * Nothing to open.
     *
     * @param string $path Not used.
     * @param string $name Not used.
     * @return bool
     */
    public function open(string $path, string $name): bool {
        return true;
    }

    /**
     * Releases what is locked.
     *
     * @return bool
     */
    public function close(): bool {
        foreach (array_keys($this->locks) as $id) {
            $this->unlock((string)$id);
        }
        $this->hashes = $this->records = $this->extended = [];
        return true;
    }

    /**
     * Locks a session if this request may write to it, and reads it.
     *
     * @param string $id
     * @return string|false Its data, empty if there is none.
     */
    public function read(string $id): string|false {
        if ($this->requires_write_lock()) {
            $this->lock($id);
        }
        $found = $this->fetch([self::data_key($id), self::record_key($id)]);
        $data = $found[self::data_key($id)] ?? '';
        $this->hashes[$id] = sha1($data);
        $this->records[$id] = $found[self::record_key($id)] ?? new stdClass();
        return $data;
    }

    /**
     * Writes the data of a session, if it has changed, or if the session is to live longer.
     *
     * @param string $id
     * @param string $data
     * @return bool False if the lock was lost or the server is away: then another request's data stands.
     */
    public function write(string $id, string $data): bool {
        $hash = sha1($data);
        if ($hash === ($this->hashes[$id] ?? null) && empty($this->extended[$id])) {
            return true;
        }
        if (!$this->cache($this->lifetime($this->record($id)))->set(self::data_key($id), $data)) {
            error_log::log("the session {$this->short($id)} was not written: its lock was lost, or the server is away");
            return false;
        }
        $this->hashes[$id] = $hash;
        unset($this->extended[$id]);
        return true;
    }

    /**
     * Deletes a session.
     *
     * @param string $id
     * @return bool False if the server is away.
     */
    #[\Override]
    public function destroy(string $id): bool {
        $errors = $this->errors();
        $record = $this->records[$id] ?? $this->cache()->get(self::record_key($id));
        $this->cache()->deleteMany([self::data_key($id), self::record_key($id)]);
        if (isset($record->userid)) {
            $this->index()->delete(self::index_key((int)$record->userid, $id));
        }
        unset($this->hashes[$id], $this->records[$id], $this->extended[$id]);
        $this->unlock($id);
        return $this->errors() === $errors;
    }

    /**
     * Deletes all sessions.
     *
     * @return bool
     */
    #[\Override]
    public function destroy_all(): bool {
        $this->hashes = $this->records = $this->extended = [];
        return $this->cache()->purge() && $this->index()->purge();
    }

    /**
     * Deletes the sessions of all users of an authentication plugin.
     *
     * @param string $pluginname
     */
    #[\Override]
    public function destroy_by_auth_plugin(string $pluginname): void {
        global $DB;
        $sessions = [];
        foreach ($this->index()->keys() as $key) {
            [$userid, $id] = explode(' ', $key, 2);
            $sessions[$userid][] = $id;
        }
        $users = $DB->get_recordset('user', ['auth' => $pluginname], '', 'id');
        foreach ($users as $user) {
            array_map([$this, 'destroy'], $sessions[$user->id] ?? []);
        }
        $users->close();
    }

    // phpcs:disable moodle.NamingConventions.ValidVariableName.VariableNameUnderscore
    /**
     * Nothing to do: entries expire.
     *
     * @param int $max_lifetime Not used.
     * @return int|false
     */
    #[\Override]
    public function gc(int $max_lifetime = 0): int|false {
        return 0;
    }
    // phpcs:enable

    /**
     * The record of a session.
     *
     * @param string $sid
     * @return stdClass Without properties if there is none.
     */
    #[\Override]
    public function get_session_by_sid(string $sid): stdClass {
        return clone $this->record($sid);
    }

    /**
     * The records of a user's sessions. Some round trips, more with more sessions of all users.
     *
     * @param int $userid
     * @return stdClass[]
     */
    #[\Override]
    public function get_sessions_by_userid(int $userid): array {
        return iterator_to_array($this->records_of($this->index()->keys(self::index_key($userid, ''))), false);
    }

    /**
     * The records of all sessions.
     *
     * @return \Iterator
     */
    #[\Override]
    public function get_all_sessions(): \Iterator {
        return $this->records_of($this->index()->keys());
    }

    /**
     * Makes a record of the current session.
     *
     * @param int $userid
     * @return stdClass
     */
    #[\Override]
    public function add_session(int $userid): stdClass {
        $id = session_id();
        $now = $this->clock->time();
        $record = (object)[
            'id' => $id,
            'state' => 0,
            'sid' => $id,
            'sessdata' => null,
            'userid' => $userid,
            'timecreated' => $now,
            'timemodified' => $now,
            'firstip' => getremoteaddr(),
            'lastip' => getremoteaddr(),
        ];
        $this->save($id, $record);
        return clone $record;
    }

    /**
     * Changes the record of a session, which lives on from now.
     *
     * @param stdClass $record With "sid" or "id" and what changes.
     * @return bool
     */
    #[\Override]
    public function update_session(stdClass $record): bool {
        $id = $record->sid ?? $record->id;
        $old = $this->record($id);
        if (!isset($old->sid)) {
            // It was destroyed, or has expired: it must not come back.
            return false;
        }
        $new = (object)((array)$record + (array)$old);
        if ($new->userid != $old->userid) {
            $this->index()->delete(self::index_key((int)$old->userid, $id));
        }
        $saved = $this->save($id, $new);
        if (isset($this->locks[$id])) {
            $this->extended[$id] = true;
        } else {
            $this->extend($id);
        }
        return $saved;
    }

    /**
     * Whether there is data of a session.
     *
     * @param string $sid
     * @return bool
     */
    #[\Override]
    public function session_exists($sid) {
        return $this->cache()->has(self::data_key($sid));
    }

    /**
     * Writes a record and the entry that finds it by its user.
     *
     * @param string $id
     * @param stdClass $record
     * @return bool
     */
    private function save(string $id, stdClass $record): bool {
        $this->records[$id] = $record;
        $lifetime = $this->lifetime($record);
        return $this->cache($lifetime)->set(self::record_key($id), $record)
            && $this->index($lifetime)->set(self::index_key((int)$record->userid, $id), true);
    }

    /**
     * Lets the data of a session live as long as its record, although this request does not hold the lock. If another does,
     * the next request that changes the record will do it.
     *
     * @param string $id
     */
    private function extend(string $id): void {
        $key = self::data_key($id);
        $owner = $this->owner();
        if (!$this->cache()->acquireLock($key, $owner, 0)) {
            return;
        }
        $data = $this->cache()->get($key);
        if ($data !== null) {
            $this->cache($this->lifetime($this->record($id)))->set($key, $data);
        }
        $this->cache()->releaseLock($key, $owner);
    }

    /**
     * Waits until this request alone may write to a session.
     *
     * @param string $id
     * @throws exception Moodle's own when too many wait, or it takes too long, or the server is away.
     */
    private function lock(string $id): void {
        if (isset($this->locks[$id])) {
            return;
        }
        $key = self::data_key($id);
        $owner = $this->owner();
        if (!$this->cache()->acquireLock($key, $owner, 0)) {
            $place = $this->place($id, $owner);
            try {
                $this->wait($id, $owner);
            } finally {
                if ($place !== null) {
                    $this->cache()->releaseLock($place, $owner);
                }
            }
            // The request that had the session may have changed what this one has read of the caches.
            configuration::sync_stores();
        }
        $this->locks[$id] = $owner;
    }

    /**
     * Waits for the lock of a session.
     *
     * @param string $id
     * @param string $owner
     */
    private function wait(string $id, string $owner): void {
        $began = hrtime(true);
        $got = $this->cache()->acquireLock(self::data_key($id), $owner, $this->timeout);
        $waited = (hrtime(true) - $began) / 1e9;
        if ($got) {
            if ($this->warning && $waited > $this->warning) {
                error_log::log(sprintf('waited %.1f s for the session %s', $waited, $this->short($id)));
            }
            return;
        }
        if ($waited < $this->timeout) {
            $this->fail();
        }
        $owners = array_column($this->store()->locks(), 'owner', 'key');
        $holder = $owners[self::data_key($id)] ?? '?';
        error_log::log("the session {$this->short($id)} was locked for {$this->timeout} s, now by {$holder}");
        throw new exception('sessioncannotobtainlock', 'error', '', (object)[
            'id' => substr($id, 0, 10),
            'acquiretimeout' => format_time($this->timeout),
            'whohaslock' => $holder,
            // So long a lock stays that is not given back because its process has died.
            'lockexpire' => format_time((int)(self::configuration()['lock_lease'] ?? 10)),
        ]);
    }

    /**
     * Takes one of the places for requests that wait for a session. A place is a lock of its own, so it becomes free with
     * the process.
     *
     * @param string $id
     * @param string $owner
     * @return string|null Its key; null if their number has no bound.
     * @throws exception When all are taken.
     */
    private function place(string $id, string $owner): ?string {
        if (!$this->maxwaiters) {
            return null;
        }
        $first = random_int(0, $this->maxwaiters - 1);
        for ($i = 0; $i < $this->maxwaiters; $i++) {
            $key = "place {$id} " . ($first + $i) % $this->maxwaiters;
            if ($this->cache()->acquireLock($key, $owner, 0)) {
                return $key;
            }
        }
        if ($this->store()->reach() !== null) {
            $this->fail();
        }
        error_log::log("more than {$this->maxwaiters} requests wait for the session {$this->short($id)}");
        throw new exception('sessionwaiterr', 'error');
    }

    /**
     * Releases the lock of a session, if this request has it.
     *
     * @param string $id
     */
    private function unlock(string $id): void {
        if (isset($this->locks[$id])) {
            $this->cache()->releaseLock(self::data_key($id), $this->locks[$id]);
            unset($this->locks[$id]);
        }
    }

    /**
     * What `larder locks` shows of this request: node, process and script, but none of its parameters, which may be secret.
     *
     * @return string
     */
    private function owner(): string {
        $script = strtok((string)($_SERVER['REQUEST_URI'] ?? $_SERVER['SCRIPT_NAME'] ?? ''), '?');
        return php_uname('n') . ' ' . getmypid() . ' ' . substr((string)$script, 0, 200);
    }

    /**
     * Reads entries.
     *
     * @param string[] $keys
     * @return array Those that there are.
     * @throws exception When the server is away, because what is missing then is no sign that there is nothing.
     */
    private function fetch(array $keys): array {
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
    private function errors(): int {
        return $this->store()->stats()['errors'];
    }

    /**
     * The record of a session, as this request knows it.
     *
     * @param string $id
     * @return stdClass Without properties if there is none.
     */
    private function record(string $id): stdClass {
        return $this->records[$id] ?? $this->fetch([self::record_key($id)])[self::record_key($id)] ?? new stdClass();
    }

    /**
     * The records of sessions.
     *
     * @param string[] $keys Of the index.
     * @return \Iterator
     */
    private function records_of(array $keys): \Iterator {
        $tokey = fn(string $key) => self::record_key(explode(' ', $key, 2)[1]);
        foreach (array_chunk($keys, self::BATCH) as $some) {
            foreach ($this->fetch(array_map($tokey, $some)) as $record) {
                yield $record;
            }
        }
    }

    /**
     * How long a session lives that is not used any more.
     *
     * @param stdClass $record Without properties for a session that has none yet.
     * @return int Seconds.
     */
    private function lifetime(stdClass $record): int {
        global $CFG;
        $userid = (int)($record->userid ?? 0);
        if ($userid && $userid == $CFG->siteguest) {
            return $CFG->sessiontimeout * 5;
        }
        if ($userid === 0 && ($record->timecreated ?? 0) == ($record->timemodified ?? 0)) {
            return self::FIRST_ACCESS;
        }
        // The record may be so old when it is renewed. The minute is for Moodle, which looks at the times in it.
        $frequency = empty($CFG->session_update_timemodified_frequency) ? 20 : $CFG->session_update_timemodified_frequency;
        return $CFG->sessiontimeout + $frequency + MINSECS;
    }

    /**
     * The first characters of a session's id. All of it is as good as a password.
     *
     * @param string $id
     * @return string
     */
    private function short(string $id): string {
        return substr($id, 0, 6) . '...';
    }

    /**
     * The server is away.
     *
     * @throws exception
     */
    private function fail(): never {
        $reason = $this->store()->reach()['error'] ?? 'the server did not answer';
        error_log::log("sessions cannot be used: {$reason}");
        throw new exception('sessionstarterror', 'error', '', null, $reason);
    }

    /**
     * The extension's store.
     *
     * @return \Larder\Store
     * @throws exception When it cannot be opened.
     */
    private function store(): \Larder\Store {
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
    private function cache(?int $lifetime = null): \Larder\Cache {
        return $this->store()->cache('sessions', ['near' => false, 'ttl' => $lifetime]);
    }

    /**
     * The sessions of users.
     *
     * @param int|null $lifetime Of what is written, in seconds.
     * @return \Larder\Cache
     */
    private function index(?int $lifetime = null): \Larder\Cache {
        return $this->store()->cache('users', ['near' => false, 'ttl' => $lifetime]);
    }

    /**
     * The key of a session's data, and of its lock.
     *
     * @param string $id
     * @return string
     */
    private static function data_key(string $id): string {
        return "data {$id}";
    }

    /**
     * The key of a session's record.
     *
     * @param string $id
     * @return string
     */
    private static function record_key(string $id): string {
        return "record {$id}";
    }

    /**
     * The key that finds a session by its user.
     *
     * @param int $userid
     * @param string $id
     * @return string
     */
    private static function index_key(int $userid, string $id): string {
        return "{$userid} {$id}";
    }
}
