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

use cachestore_larder;
use core_cache\administration_helper;
use core_cache\factory;
use core_cache\store;

defined('MOODLE_INTERNAL') || die();

global $CFG;
require_once($CFG->dirroot . '/cache/stores/larder/lib.php');

/**
 * The plugin in Moodle's administration pages: form, status report, plugin list.
 *
 * @package   cachestore_larder
 * @covers    \cachestore_larder\configuration
 * @covers    \cachestore_larder_addinstance_form
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
final class admin_test extends \advanced_testcase {
    /**
     * Makes this test the administrator on an administration page.
     */
    public function setUp(): void {
        global $PAGE;
        if (!cachestore_larder::ready_to_be_used_for_testing()) {
            $this->markTestSkipped('Needs the PHP extension "larder" and TEST_CACHESTORE_LARDER_TESTSERVERS.');
        }
        parent::setUp();
        $this->resetAfterTest();
        $this->setAdminUser();
        $PAGE->set_url('/cache/admin.php');
    }

    /**
     * Adds an instance to Moodle's configuration as the administration page does.
     *
     * @param array $data What was entered.
     */
    private function add_instance(array $data): void {
        $data = (object)($data + ['name' => 'mine', 'plugin' => 'larder', 'lock' => 'cachelock_file_default']);
        $config = factory::get_administration_display_helper()->get_store_configuration_from_data($data);
        \core_cache\config_writer::instance()->add_store_instance($data->name, $data->plugin, $config);
    }

    /**
     * The forms for a new and for an existing instance have the settings, and secrets are not in the page.
     */
    public function test_forms(): void {
        $helper = factory::get_administration_display_helper();
        $html = $helper->get_add_store_form('larder')->render();
        $this->assertStringContainsString('name="server"', $html);
        $this->assertStringContainsString('name="lock_wait"', $html);
        $this->assertStringNotContainsString('forgetsecrets', $html);

        $this->add_instance(['seal_key' => 'hush-hush-hush-hush'] + cachestore_larder::unit_test_configuration());
        $html = $helper->get_edit_store_form('larder', 'mine')->render();
        foreach (server_url::split(TEST_CACHESTORE_LARDER_TESTSERVERS) as $part) {
            $this->assertStringContainsString('value="' . s($part) . '"', $html);
        }
        $this->assertStringContainsString('forgetsecrets', $html);
        $this->assertStringNotContainsString('hush', $html);
    }

    /**
     * Every option of the extension has a field, for a save keeps no other. A save stamps the generation.
     */
    public function test_every_option_has_a_field(): void {
        try {
            \Larder\Store::open(['none' => 1]);
            $this->fail('An unknown option was accepted.');
        } catch (\Larder\ConfigException $e) {
            $this->assertSame(1, preg_match('~the options are (.*)$~', $e->getMessage(), $matches));
        }
        // The plugin chooses two, and only config.php may name a program to run.
        $fields = array_merge(configuration::TEXTS, configuration::SECRETS, ['generation', 'code_epoch', 'password_command']);
        $this->assertEqualsCanonicalizing(explode(', ', $matches[1]), $fields);
    }

    /**
     * Directories that Moodle deletes are refused when the form is sent.
     */
    public function test_validation(): void {
        global $CFG;
        $form = factory::get_administration_display_helper()->get_add_store_form('larder');
        $data = ['name' => 'mine', 'plugin' => 'larder'];
        $this->assertSame([], $form->validation($data + cachestore_larder::unit_test_configuration(), []));
        $errors = $form->validation($data + ['server' => "local:{$CFG->localcachedir}/larder"], []);
        $this->assertSame(['server'], array_keys($errors));
    }

    /**
     * What Moodle keeps and shows of an instance.
     */
    public function test_instance(): void {
        $this->add_instance(cachestore_larder::unit_test_configuration() + ['near_bytes' => '1M', 'lock_wait' => '']);
        $kept = configuration::instances()['mine']['configuration'];
        $this->assertSame('1M', $kept['near_bytes']);
        $this->assertArrayNotHasKey('lock_wait', $kept);
        $this->assertArrayHasKey('generation', $kept);
        $summary = administration_helper::get_store_instance_summaries()['mine'];
        $this->assertEquals(1, $summary['isready']);
        $this->assertSame([], $summary['warnings']);
        $this->assertTrue(administration_helper::get_store_plugin_summaries()['larder']['requirementsmet']);
    }

    /**
     * The status report has the checks, and they can be shown.
     */
    public function test_status_checks(): void {
        global $PAGE;
        $this->add_instance(cachestore_larder::unit_test_configuration());
        $found = [];
        foreach (\core\check\manager::get_status_checks() as $check) {
            if ($check->get_component() === 'cachestore_larder') {
                $this->assertNotEmpty($check->get_name());
                $PAGE->get_renderer('core')->check_result($check->get_result());
                $found[$check->get_id()] = $check->get_result()->get_status();
            }
        }
        unset($found['directories']);
        $this->assertSame(['requirements' => 'ok', 'backend' => 'ok', 'sessions' => 'na'], $found);
    }

    /**
     * The check of the sessions' server.
     */
    public function test_sessions_check(): void {
        global $CFG;
        $check = new class extends check\sessions {
            /**
             * Tests have another handler.
             *
             * @return string
             */
            protected function handler(): string {
                return '\\' . session\handler::class;
            }
        };
        $CFG->session_larder = cachestore_larder::unit_test_configuration();
        $this->assertSame('ok', $check->get_result()->get_status());
        $CFG->session_larder = ['server' => 'redis://127.0.0.1:1'];
        $this->assertSame('critical', $check->get_result()->get_status());
        $this->assertStringContainsString('redis is unavailable', $check->get_result()->get_summary());
    }

    /**
     * The check of the directories: files, and filesystems on the network.
     */
    public function test_directories_check(): void {
        global $CFG;
        $check = new class extends check\directories {
            /** @var string[] The list of mounts. */
            public $mounts = ['/dev/sda / ext4 rw 0 0'];

            /**
             * A list of mounts.
             *
             * @return string[]
             */
            protected function mounts(): array {
                return $this->mounts;
            }
        };
        $this->add_instance(cachestore_larder::unit_test_configuration());
        $writer = \core_cache\config_writer::instance();
        $modes = [store::MODE_SESSION => ['default_session'], store::MODE_REQUEST => ['default_request']];
        $writer->set_mode_mappings($modes + [store::MODE_APPLICATION => ['mine']]);
        factory::reset();
        $this->assertSame('ok', $check->get_result()->get_status());
        $this->assertStringContainsString(s($CFG->localcachedir), $check->get_result()->get_details());

        $check->mounts[] = "host:/x {$CFG->dataroot} nfs4 rw 0 0";
        $this->assertSame('warning', $check->get_result()->get_status());
        $this->assertStringContainsString('nfs4', $check->get_result()->get_summary());
        $check->mounts[] = "/dev/sdb {$CFG->localcachedir} ext4 rw 0 0";
        $CFG->lock_factory = '\core\lock\db_record_lock_factory';
        $this->assertSame('ok', $check->get_result()->get_status());
        $CFG->lock_factory = '\core\lock\file_lock_factory';
        $this->assertStringContainsString('Locks', $check->get_result()->get_summary());

        $writer = \core_cache\config_writer::instance();
        $writer->add_store_instance('files', 'file');
        $writer->set_definition_mappings('core/string', ['files']);
        factory::reset();
        $this->assertSame('warning', $check->get_result()->get_status());
        $this->assertStringContainsString('core/string', $check->get_result()->get_details());
    }

    /**
     * The task raises an event for each purge, but none for those before its first run.
     */
    public function test_purges_become_events(): void {
        $this->add_instance(cachestore_larder::unit_test_configuration() + ['namespace' => uniqid('events')]);
        $purge = function (): void {
            \core_cache\helper::purge_store('mine');
            \cachestore_larder\audit::record();
        };
        $events = function (): array {
            $sink = $this->redirectEvents();
            (new \cachestore_larder\task\raise_events())->execute();
            return $sink->get_events();
        };
        \core_cache\config_writer::instance()->set_definition_mappings('core/string', ['mine']);
        factory::reset();
        $purge();
        $this->assertSame([], $events());
        $purge();
        [$event] = $events();
        $this->assertInstanceOf(\cachestore_larder\event\cache_purged::class, $event);
        $this->assertSame('mine', $event->other['instance']);
        $this->assertEquals(get_admin()->id, $event->userid);
        $this->assertStringContainsString("emptied core/string, by the script '", $event->get_description());
        $this->assertNotEmpty($event->get_name());
        $this->assertSame([], $events());
    }

    /**
     * The report shows what was done, and takes no instance, period or node that there is not.
     */
    public function test_report(): void {
        global $OUTPUT, $PAGE;
        $PAGE->set_context(\core\context\system::instance());
        $this->add_instance(cachestore_larder::unit_test_configuration());
        $page = new \cachestore_larder\report\page(['instance' => 'none', 'period' => 'year', 'node' => 'none'], time());
        $this->assertSame(['instance' => 'mine', 'period' => 'hour', 'node' => ''], $page->chosen());
        $html = cachestore_larder_output_fragment_report($page->chosen());
        $this->assertStringContainsString(get_string('report_purges', 'cachestore_larder'), $html);
        $this->setUser($this->getDataGenerator()->create_user());
        $this->expectException(\core\exception\required_capability_exception::class);
        cachestore_larder_output_fragment_report($page->chosen());
    }
}
