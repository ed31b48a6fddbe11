<?php
// A page that is added to the copy of a site in the small reference deployment: makes a private file, and reads and writes an entry of a
// cache. It answers only to those who know the token of the run.

require(__DIR__ . '/config.php');
if (!hash_equals($CFG->larder_test_token, required_param('token', PARAM_ALPHANUM))) {
    throw new moodle_exception('accessdenied', 'admin');
}
$action = required_param('do', PARAM_ALPHA);
$record = isloggedin() ? ['contextid' => context_user::instance($USER->id)->id, 'component' => 'user', 'filearea' => 'private',
    'itemid' => 0, 'filepath' => '/', 'filename' => 'larder_reference.js'] : [];
$files = get_file_storage();
$answer = ['address' => getremoteaddr(), 'user' => $USER->id];
if ($action === 'file') {
    $old = $files->get_file(...array_values($record));
    $old && $old->delete();
    $files->create_file_from_string($record, 'secret of ' . $USER->id);
    $answer['path'] = "/pluginfile.php/{$record['contextid']}/user/private/larder_reference.js";
} else if ($action === 'nofile') {
    $old = $files->get_file(...array_values($record));
    $old && $old->delete();
} else if ($action === 'put') {
    cache::make('core', 'string')->set('larder_reference', required_param('value', PARAM_ALPHANUM));
} else if ($action === 'look') {
    $answer['value'] = cache::make('core', 'string')->get('larder_reference');
}
header('Content-Type: application/json');
echo json_encode($answer);
