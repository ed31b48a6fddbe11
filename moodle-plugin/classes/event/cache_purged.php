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

namespace cachestore_larder\event;

/**
 * Somebody emptied caches of an instance. Raised by a task, some minutes later.
 *
 * @property-read array $other {
 *      - string instance: name of the instance
 *      - string action: as in the audit log, "purge" for instance
 *      - int time: when it happened, Unix seconds
 *      - array details: the texts of the audit log by name, "caches", "node", "script" and "trace" among them
 * }
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class cache_purged extends \core\event\base {
    /**
     * Says what the event is about.
     */
    protected function init() {
        $this->data['crud'] = 'd';
        $this->data['edulevel'] = self::LEVEL_OTHER;
        $this->context = \core\context\system::instance();
    }

    /**
     * Name of the event.
     *
     * @return string
     */
    public static function get_name() {
        return get_string('event_cache_purged', 'cachestore_larder');
    }

    /**
     * What happened, for the log report.
     *
     * @return string
     */
    public function get_description() {
        $details = $this->other['details'];
        $caches = $details['caches'] ?? '?';
        $script = $details['script'] ?? '?';
        $node = $details['node'] ?? '?';
        return "Action '{$this->other['action']}' on instance '{$this->other['instance']}' emptied {$caches},"
            . " by the script '{$script}' of the node '{$node}'.";
    }

    /**
     * Where there is more about it.
     *
     * @return \core\url
     */
    public function get_url() {
        return new \core\url('/cache/stores/larder/report.php', ['instance' => $this->other['instance']]);
    }
}
