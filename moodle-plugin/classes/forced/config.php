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

/**
 * Moodle's cache configuration with what config.php says.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class config extends \core_cache\config {
    /**
     * Reads the configuration.
     *
     * @return array
     */
    protected function include_configuration() {
        $merged = configuration::merge(parent::include_configuration());
        $merged['definitions'] = configuration::override($merged['definitions']);
        return $merged;
    }
}
