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

namespace cachestore_larder\forced;

use core_cache\local\administration_display_helper;

/**
 * Moodle's page of caches, on which the stores of config.php cannot be changed.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class display_helper extends administration_display_helper {
    /**
     * The links beside a store.
     *
     * @param string $name
     * @param array $storedetails
     * @return array
     */
    public function get_store_instance_actions(string $name, array $storedetails): array {
        // Moodle's own default stores can be purged, and nothing else.
        if (isset(configuration::stores()[$name])) {
            $storedetails['default'] = true;
        }
        return parent::get_store_instance_actions($name, $storedetails);
    }
}
