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

use cachestore_larder\configuration;
use core\check\check;
use core\check\result;

/**
 * Whether the servers of the Larder instances answer this node.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class backend extends check {
    /**
     * Asks each server, each within its timeouts.
     *
     * @return result
     */
    public function get_result(): result {
        $unreachable = [];
        $details = [];
        foreach (configuration::instances() as $name => $instance) {
            $store = new \cachestore_larder($name, $instance['configuration']);
            if (!$store->is_ready()) {
                // The other check is about those.
                continue;
            }
            $health = $store->health();
            if (empty($health['reachable'])) {
                $unreachable[] = s($name);
            }
            $details[] = \html_writer::tag('h4', s($name)) . $this->describe($health);
        }
        if (!$details) {
            return new result(result::NA, get_string('checkbackend_none', 'cachestore_larder'));
        }
        if ($unreachable) {
            return new result(
                result::ERROR,
                get_string('checkbackend_unreachable', 'cachestore_larder', implode(', ', $unreachable)),
                get_string('checkbackend_unreachable_details', 'cachestore_larder') . implode('', $details),
            );
        }
        return new result(result::OK, get_string('checkbackend_ok', 'cachestore_larder'), implode('', $details));
    }

    /**
     * What the extension says about an instance, as a list.
     *
     * @param array $health
     * @return string HTML.
     */
    private function describe(array $health): string {
        $items = [];
        foreach ($health as $name => $value) {
            $items[] = s($name) . ': ' . s(is_scalar($value) ? (string)$value : json_encode($value));
        }
        return \html_writer::alist($items);
    }
}
