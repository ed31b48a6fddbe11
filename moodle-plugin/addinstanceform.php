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
 * Form for adding and editing an instance of the Larder cache store.
 *
 * @package   cachestore_larder
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */

use cachestore_larder\configuration;
use cachestore_larder\connection_test;
use cachestore_larder\server_url;

/**
 * Form for adding and editing an instance of the Larder cache store.
 *
 * Editing rebuilds the configuration from the form alone, so every setting has a field. An empty field means the
 * extension's default.
 *
 * @copyright 2026 Larder contributors
 * @license   http://www.gnu.org/copyleft/gpl.html GNU GPL v3 or later
 */
class cachestore_larder_addinstance_form extends \core_cache\form\cachestore_addinstance_form {
    /** @var string[] The fields by group, each with an example, or the default, that an empty field shows. */
    private const GROUPS = [
        'server' => [
            'serverkind' => '', 'serverhost' => '10.0.0.5:6379', 'serverhosts' => '10.0.0.5,10.0.0.6,10.0.0.7',
            'serverservice' => 'mymaster', 'serverpath' => '/var/lib/larder', 'serverdatabase' => '0', 'serversize' => '4G',
            'server' => 'redis://host:6379/0', 'username' => 'default', 'password' => '', 'password_file' => '',
            'sentinel_username' => 'default', 'sentinel_password' => '', 'ca_file' => '', 'cert_file' => '', 'key_file' => '',
            'tls_server_name' => '',
        ],
        'speed' => [
            'near_bytes' => '32M', 'max_staleness' => '1', 'connect_timeout' => '0.25', 'read_timeout' => '0.5',
            'compress_from' => '16K',
        ],
        'fallback' => ['fallback' => 'dir:/mnt/shared/larder?size=4G', 'node_tier' => 'local:/var/lib/larder?size=1G'],
        'locks' => ['lock_lease' => '10', 'lock_wait' => '60'],
        'security' => ['namespace' => '', 'seal_key' => '', 'seal_key_previous' => ''],
    ];

    /** @var string[] The fields whose content is long. */
    private const WIDE = [
        'serverhost', 'serverhosts', 'serverpath', 'server', 'password_file', 'ca_file', 'cert_file', 'key_file', 'fallback',
        'node_tier', 'namespace',
    ];

    /**
     * Adds the fields.
     */
    protected function configuration_definition() {
        foreach (self::GROUPS as $group => $fields) {
            if ($group !== 'server') {
                // Moodle has begun a group by now.
                $this->_form->addElement('header', "header_{$group}", get_string("header_{$group}", 'cachestore_larder'));
                $this->_form->setExpanded("header_{$group}", false);
            }
            foreach ($fields as $name => $example) {
                $this->add_field($name, $name === 'namespace' ? configuration::default_namespace() : $example);
            }
            if ($group === 'server') {
                foreach (server_url::FIELDS as $name) {
                    $this->_form->hideIf($name, 'serverkind', 'in', array_diff(server_url::kinds(), server_url::kinds_with($name)));
                }
                $this->_form->hideIf('server', 'serverkind', 'neq', server_url::OTHER);
                $unknown = array_diff(server_url::kinds(), server_url::kinds_with('serverservice'), [server_url::OTHER]);
                $this->_form->hideIf('sentinel_username', 'serverkind', 'in', $unknown);
                $this->_form->hideIf('sentinel_password', 'serverkind', 'in', $unknown);
                $this->_form->registerNoSubmitButton('testconnection');
                $this->_form->addElement('submit', 'testconnection', get_string('testconnection', 'cachestore_larder'));
            }
        }
        if (!empty($this->_customdata['store'])) {
            $this->_form->addElement('advcheckbox', 'forgetsecrets', get_string('forgetsecrets', 'cachestore_larder'));
            $this->_form->addHelpButton('forgetsecrets', 'forgetsecrets', 'cachestore_larder');
        }
    }

    /**
     * Adds a field with its help.
     *
     * @param string $name
     * @param string $example What the empty field shows.
     */
    private function add_field(string $name, string $example): void {
        $label = get_string($name, 'cachestore_larder');
        if ($name === 'serverkind') {
            $labels = array_map(fn($kind) => get_string("serverkind_{$kind}", 'cachestore_larder'), server_url::kinds());
            $this->_form->addElement('select', $name, $label, array_combine(server_url::kinds(), $labels));
            $this->_form->setType($name, PARAM_ALPHA);
        } else {
            $secret = in_array($name, configuration::SECRETS);
            $attributes = ['size' => in_array($name, self::WIDE) ? 40 : 20];
            if ($example !== '') {
                $attributes['placeholder'] = $example;
            }
            $this->_form->addElement($secret ? 'passwordunmask' : 'text', $name, $label, $attributes);
            $this->_form->setType($name, PARAM_RAW);
        }
        $this->_form->addHelpButton($name, $name, 'cachestore_larder');
    }

    /**
     * Shows what the test of the connection found, if its button was pressed.
     */
    public function definition_after_data() {
        parent::definition_after_data();
        $data = $this->_form->getSubmitValues();
        if (empty($data['testconnection']) || !confirm_sesskey()) {
            return;
        }
        $errors = $this->configuration_validation($data, [], []);
        $found = $errors ? [false, implode('<br>', $errors)] : connection_test::run((object)$data);
        $html = \html_writer::div($found[1], $found[0] ? 'alert alert-success' : 'alert alert-danger', ['role' => 'alert']);
        $element = $this->_form->createElement('static', 'testresult', '', $html);
        $this->_form->insertElementBefore($element, 'testconnection');
    }

    /**
     * Lets the extension judge the configuration. Does not connect: an instance may be set up while its server is away.
     *
     * @param array $data
     * @param array $files
     * @param array $errors Errors found before.
     * @return string[] Messages by field.
     */
    public function configuration_validation(#[\SensitiveParameter] $data, $files, array $errors) {
        $data = (object)$data;
        $data->server = server_url::join($data);
        $serverfield = server_url::field($data);
        if ($data->server === '') {
            return $errors + [$serverfield => get_string('required')];
        }
        foreach (configuration::PLACES as $name) {
            $directory = configuration::doomed_directory(trim($data->$name ?? ''));
            if ($directory !== null) {
                $field = $name === 'server' ? $serverfield : $name;
                $errors[$field] = get_string('doomeddirectory', 'cachestore_larder', s($directory));
            }
        }
        if ($errors || !cachestore_larder::are_requirements_met()) {
            return $errors;
        }
        try {
            $config = configuration::from_form($data);
            unset($config['generation']);
            \Larder\Store::open(configuration::for_extension($config));
        } catch (\Exception $e) {
            $field = $this->field_of($e->getMessage());
            $errors[$field === 'server' ? $serverfield : $field] = s($e->getMessage());
        }
        return $errors;
    }

    /**
     * The field that a message of the extension is about.
     *
     * @param string $message
     * @return string The first setting that it names, or the server.
     */
    private function field_of(string $message): string {
        $names = array_merge(configuration::TEXTS, configuration::SECRETS);
        return preg_match('~\b(' . implode('|', $names) . ')\b~', $message, $matches) ? $matches[1] : 'server';
    }
}
