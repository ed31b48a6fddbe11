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
 * The report of the Larder cache store: who serves each instance, what the nodes do with it, and who purged it.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use cachestore_larder\configuration;
use cachestore_larder\report\page;

require_once(__DIR__ . '/../../../config.php');
require_once($CFG->libdir . '/adminlib.php');

admin_externalpage_setup('cachestore_larder_report');

echo $OUTPUT->header();
echo $OUTPUT->heading(get_string('report', 'cachestore_larder'));
foreach (cachestore_larder_status_checks() as $check) {
    $result = $check->get_result();
    echo html_writer::tag('p', $OUTPUT->check_result($result) . ' ' . $result->get_summary());
    if ($result->get_details() !== '') {
        $summary = html_writer::tag('summary', get_string('report_details', 'cachestore_larder'));
        echo html_writer::tag('details', $summary . $result->get_details(), ['class' => 'mb-3']);
    }
}
if (configuration::instances()) {
    $page = new page([
        'instance' => optional_param('instance', '', PARAM_RAW),
        'period' => optional_param('period', '', PARAM_ALPHA),
        'node' => optional_param('node', '', PARAM_RAW),
    ], time());
    $chosen = $page->chosen();
    echo html_writer::start_div('d-flex flex-wrap align-items-center mb-3');
    foreach ($page->choices() as $name => $options) {
        $select = new single_select(new moodle_url($PAGE->url, $chosen), $name, $options, $chosen[$name], null);
        $select->set_label(get_string("report_choose_{$name}", 'cachestore_larder'));
        echo html_writer::div($OUTPUT->render($select), 'mr-4 me-4');
    }
    $attributes = ['id' => 'larder_live', 'class' => 'mr-1 me-1'];
    echo html_writer::checkbox('live', 1, true, get_string('report_live', 'cachestore_larder'), $attributes);
    echo html_writer::end_div();
    $figures = $OUTPUT->render_from_template('cachestore_larder/report', $page->export_for_template($OUTPUT));
    echo html_writer::div($figures, '', ['id' => 'larder_report']);

    // Nothing changes beneath somebody who is in it, or does not look.
    $context = \core\context\system::instance()->id;
    $chosen = json_encode($chosen, JSON_HEX_TAG);
    $PAGE->requires->js_amd_inline("
        require(['core/fragment', 'core/templates'], function(Fragment, Templates) {
            var report = document.getElementById('larder_report');
            setInterval(function() {
                var live = document.getElementById('larder_live').checked;
                if (live && !document.hidden && !report.contains(document.activeElement)) {
                    Fragment.loadFragment('cachestore_larder', 'report', {$context}, {$chosen}).then(function(html, js) {
                        return Templates.replaceNodeContents(report, html, js);
                    }).catch(function() {
                        document.getElementById('larder_live').checked = false;
                    });
                }
            }, 30000);
        });
    ");
}
echo $OUTPUT->footer();
