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

namespace cachestore_larder\task;

use cachestore_larder\configuration;
use cachestore_larder\event\cache_purged;

/**
 * Raises an event for each new record of the audit logs: where a cache is purged that cannot be done.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class raise_events extends \core\task\scheduled_task {
    /**
     * Name of the task.
     *
     * @return string
     */
    public function get_name() {
        return get_string('task_raise_events', 'cachestore_larder');
    }

    /**
     * Raises the events of all instances. The first run of an instance raises none, but remembers where its log ends.
     */
    public function execute() {
        foreach (configuration::instances() as $name => $instance) {
            $setting = 'audited_' . md5($name);
            $until = get_config('cachestore_larder', $setting);
            $last = (float)$until;
            foreach ((new \cachestore_larder($name, $instance['configuration']))->audit_log() as $record) {
                if ($record['time'] <= (float)$until) {
                    continue;
                }
                $last = max($last, $record['time']);
                if ($until !== false) {
                    $this->raise($name, $record);
                }
            }
            if ($until === false || $last > (float)$until) {
                set_config($setting, sprintf('%.3f', $last), 'cachestore_larder');
            }
        }
    }

    /**
     * Raises the event for a record.
     *
     * @param string $instance
     * @param array $record
     */
    private function raise(string $instance, array $record): void {
        $user = $record['details']['user'] ?? '';
        cache_purged::create([
            'userid' => ctype_digit($user) ? (int)$user : 0,
            'other' => [
                'instance' => $instance,
                'action' => $record['action'],
                'time' => (int)$record['time'],
                'details' => $record['details'],
            ],
        ])->trigger();
    }
}
