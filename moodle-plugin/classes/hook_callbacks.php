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

namespace cachestore_larder;

/**
 * What the plugin does at certain points of a request.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class hook_callbacks {
    /** @var float Seconds that getting a free session lock takes at the most. */
    public const FREE = 0.001;

    /**
     * A request that waited for its session began to read caches before the request that it waited for had ended. What that
     * one wrote must be seen from here on.
     *
     * @param \core\hook\after_config $hook
     */
    public static function after_config(\core\hook\after_config $hook): void {
        global $PERF;
        if (is_a(\core\session\manager::get_handler_class(), session\handler::class, true)) {
            // It does this itself.
            return;
        }
        if (($PERF->sessionlock['wait'] ?? 0) > self::FREE) {
            configuration::sync_stores();
        }
    }

    /**
     * Adds what the request cost to the footer, if that is asked for.
     *
     * @param \core\hook\output\before_standard_footer_html_generation $hook
     */
    public static function before_standard_footer_html_generation(
        \core\hook\output\before_standard_footer_html_generation $hook,
    ): void {
        $hook->add_html(request_cost::line());
    }
}
