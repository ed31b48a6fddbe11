<?php
// Asks the validator of Moodle's own plugin installer about the plugin's ZIP: MOODLE_DIR=/path/to/moodle php plugin.php FILE

define('CLI_SCRIPT', true);
require getenv('MOODLE_DIR') . '/config.php';

$directory = make_temp_directory('larder-' . bin2hex(random_bytes(4)));
$files = get_file_packer('application/zip')->extract_to_pathname($argv[1], $directory);
$validator = \core\update\validator::instance($directory, $files);
$validator->assert_plugin_type('cachestore');
$validator->assert_moodle_version($CFG->version);
$valid = $validator->execute();
foreach ($validator->get_messages() as $message) {
    echo "$message->level: $message->msgcode ", json_encode($message->addinfo), "\n";
}
remove_dir($directory);
exit($valid ? 0 : 1);
