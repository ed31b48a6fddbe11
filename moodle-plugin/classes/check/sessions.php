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

namespace cachestore_larder\check;

use cachestore_larder\session\handler;
use cachestore_larder\session\server;
use core\check\check;
use core\check\result;

/**
 * Whether the sessions that are kept in Larder are safe there.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class sessions extends check {
    /**
     * Asks the server for sessions.
     *
     * @return result
     */
    public function get_result(): result {
        $class = ltrim($this->handler(), '\\');
        if (!is_a($class, handler::class, true)) {
            return new result(result::NA, get_string('checksessions_none', 'cachestore_larder', s($class)));
        }
        try {
            $health = \Larder\Store::open(server::configuration())->health();
        } catch (\Throwable $e) {
            $health = ['reason' => $e->getMessage()];
        }
        if (empty($health['reachable'])) {
            $reason = s($health['reason'] ?? '');
            return new result(result::CRITICAL, get_string('checksessions_unreachable', 'cachestore_larder', $reason));
        }
        $facts = $health['facts'];
        $policy = $facts['maxmemory_policy'] ?? '';
        if (str_starts_with($policy, 'allkeys-')) {
            return new result(
                result::ERROR,
                get_string('checksessions_evicted', 'cachestore_larder', s($policy)),
                get_string('checksessions_evicted_details', 'cachestore_larder'),
            );
        }
        if ($policy === 'noeviction' && !empty($facts['maxmemory'])) {
            return new result(result::WARNING, get_string('checksessions_full', 'cachestore_larder', s($policy)));
        }
        return new result(result::OK, get_string('checksessions_ok', 'cachestore_larder'));
    }

    /**
     * The class that keeps the sessions of this site.
     *
     * @return string
     */
    protected function handler(): string {
        return \core\session\manager::get_handler_class();
    }
}
