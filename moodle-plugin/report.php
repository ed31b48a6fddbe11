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

/**
 * The report of the Larder cache store: who serves each instance, and who purged it.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

require_once(__DIR__ . '/../../../config.php');
require_once($CFG->libdir . '/adminlib.php');

admin_externalpage_setup('cachestore_larder_report');

echo $OUTPUT->header();
echo $OUTPUT->heading(get_string('report', 'cachestore_larder'));
foreach (cachestore_larder_status_checks() as $check) {
    $result = $check->get_result();
    echo $OUTPUT->box($OUTPUT->check_result($result) . ' ' . $result->get_summary() . $result->get_details());
}
foreach (\cachestore_larder\configuration::instances() as $name => $instance) {
    $store = new cachestore_larder($name, $instance['configuration']);
    $table = new html_table();
    $table->head = array_map(fn($column) => get_string("report_{$column}", 'cachestore_larder'), ['time', 'action', 'details']);
    foreach (array_reverse($store->audit_log()) as $record) {
        $details = [];
        foreach ($record['details'] as $detail => $value) {
            $details[] = s("{$detail}: {$value}");
        }
        $table->data[] = [userdate((int)$record['time']), s($record['action']), implode('<br>', $details)];
    }
    echo $OUTPUT->heading(get_string('report_purges', 'cachestore_larder', s($name)), 3);
    echo $table->data ? html_writer::table($table) : html_writer::tag('p', get_string('report_nothing', 'cachestore_larder'));
}
echo $OUTPUT->footer();
