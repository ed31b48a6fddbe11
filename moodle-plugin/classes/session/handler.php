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

    /** @var clock */
    private $clock;

    /** @var server */
    private $server;

    /** @var locks */
    private $locks;

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
        $this->server = new server();
        $this->locks = new locks($this->server);
        $this->clock = di::get(clock::class);
    }

    /**
     * Makes PHP use this handler. Does not connect.
     *
     * @return bool
     */
    #[\Override]
    public function init(): bool {
        $this->server->store();
        if (!session_set_save_handler($this)) {
            throw new exception('sessionhandlerproblem', 'error');
        }
        return true;
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
        $this->locks->release_all();
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
            $this->locks->take($id);
        }
        $found = $this->server->fetch([locks::key($id), self::record_key($id)]);
        $data = $found[locks::key($id)] ?? '';
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
        if (!$this->server->cache($this->lifetime($this->record($id)))->set(locks::key($id), $data)) {
            error_log::log('the session ' . locks::short($id) . ' was not written: its lock was lost, or the server is away');
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
        $errors = $this->server->errors();
        $record = $this->records[$id] ?? $this->server->cache()->get(self::record_key($id));
        $this->server->cache()->deleteMany([locks::key($id), self::record_key($id)]);
        if (isset($record->userid)) {
            $this->server->index()->delete(self::index_key((int)$record->userid, $id));
        }
        unset($this->hashes[$id], $this->records[$id], $this->extended[$id]);
        $this->locks->release($id);
        return $this->server->errors() === $errors;
    }

    /**
     * Deletes all sessions.
     *
     * @return bool
     */
    #[\Override]
    public function destroy_all(): bool {
        $this->hashes = $this->records = $this->extended = [];
        return $this->server->cache()->purge() && $this->server->index()->purge();
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
        foreach ($this->server->index()->keys() as $key) {
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
        return iterator_to_array($this->records_of($this->server->index()->keys(self::index_key($userid, ''))), false);
    }

    /**
     * The records of all sessions.
     *
     * @return \Iterator
     */
    #[\Override]
    public function get_all_sessions(): \Iterator {
        return $this->records_of($this->server->index()->keys());
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
            $this->server->index()->delete(self::index_key((int)$old->userid, $id));
        }
        $saved = $this->save($id, $new);
        if ($this->locks->has($id)) {
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
        return $this->server->cache()->has(locks::key($sid));
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
        return $this->server->cache($lifetime)->set(self::record_key($id), $record)
            && $this->server->index($lifetime)->set(self::index_key((int)$record->userid, $id), true);
    }

    /**
     * Lets the data of a session live as long as its record, although this request does not hold the lock. If another does,
     * the next request that changes the record will do it.
     *
     * @param string $id
     */
    private function extend(string $id): void {
        $this->locks->with($id, function () use ($id): void {
            $data = $this->server->cache()->get(locks::key($id));
            if ($data !== null) {
                $this->server->cache($this->lifetime($this->record($id)))->set(locks::key($id), $data);
            }
        });
    }

    /**
     * The record of a session, as this request knows it.
     *
     * @param string $id
     * @return stdClass Without properties if there is none.
     */
    private function record(string $id): stdClass {
        return $this->records[$id] ?? $this->server->fetch([self::record_key($id)])[self::record_key($id)] ?? new stdClass();
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
            foreach ($this->server->fetch(array_map($tokey, $some)) as $record) {
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
