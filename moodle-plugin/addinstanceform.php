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
    /**
     * Adds the fields.
     */
    protected function configuration_definition() {
        foreach (array_merge(configuration::TEXTS, configuration::SECRETS) as $name) {
            $secret = in_array($name, configuration::SECRETS);
            $this->_form->addElement($secret ? 'passwordunmask' : 'text', $name, get_string($name, 'cachestore_larder'));
            $this->_form->setType($name, PARAM_RAW);
            $this->_form->addHelpButton($name, $name, 'cachestore_larder');
        }
        $this->_form->addRule('server', get_string('required'), 'required', null, 'client');
        if (!empty($this->_customdata['store'])) {
            $this->_form->addElement('advcheckbox', 'forgetsecrets', get_string('forgetsecrets', 'cachestore_larder'));
            $this->_form->addHelpButton('forgetsecrets', 'forgetsecrets', 'cachestore_larder');
        }
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
        foreach (configuration::PLACES as $name) {
            $directory = configuration::doomed_directory(trim($data[$name] ?? ''));
            if ($directory !== null) {
                $errors[$name] = get_string('doomeddirectory', 'cachestore_larder', s($directory));
            }
        }
        if ($errors || !cachestore_larder::are_requirements_met()) {
            return $errors;
        }
        try {
            $config = configuration::from_form((object)$data);
            unset($config['generation']);
            \Larder\Store::open(configuration::for_extension($config));
        } catch (\Exception $e) {
            $errors[$this->field_of($e->getMessage())] = s($e->getMessage());
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
