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
use cachestore_larder\forced\configuration as forced;
use core\check\check;
use core\check\result;

/**
 * Whether this node can use the Larder instances that are configured.
 *
 * A node that cannot falls back on its own files, where no other node's changes ever arrive.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class requirements extends check {
    /**
     * Looks at the extension and at the configuration of each instance. Does not connect.
     *
     * @return result
     */
    public function get_result(): result {
        $instances = configuration::instances();
        if (!\cachestore_larder::are_requirements_met()) {
            return new result(
                $instances ? result::CRITICAL : result::WARNING,
                get_string('checkrequirements_noextension', 'cachestore_larder'),
                get_string('checkrequirements_noextension_details', 'cachestore_larder'),
            );
        }
        $warnings = array_map('s', array_filter([forced::problem()]));
        foreach ($instances as $name => $details) {
            $store = new \cachestore_larder($name, $details['configuration']);
            $warnings = array_merge($warnings, $store->get_warnings());
        }
        if ($warnings) {
            return new result(
                result::CRITICAL,
                get_string('checkrequirements_badconfiguration', 'cachestore_larder'),
                \html_writer::alist($warnings),
            );
        }
        $version = s(phpversion('larder') ?: '?');
        return new result(result::OK, get_string('checkrequirements_ok', 'cachestore_larder', $version));
    }
}
