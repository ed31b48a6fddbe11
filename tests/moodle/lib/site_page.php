<?php
// A page that is added to the copy of a site under test: logs in without a password, names pages to load and
// changes a setting. It answers only to those who know the token of the run.

if (($_GET['do'] ?? '') === 'look') {
    define('READ_ONLY_SESSION', true);
} else if (!isset($_GET['as']) && ($_GET['do'] ?? '') !== 'add') {
    define('NO_MOODLE_COOKIES', true);
}
require(__DIR__ . '/config.php');
if (!hash_equals($CFG->larder_test_token, required_param('token', PARAM_ALPHANUM))) {
    throw new moodle_exception('accessdenied', 'admin');
}

// The course with most activities that has a student and a forum.
$sql = "SELECT ra.userid, c.id AS courseid, cm.id AS forumid
          FROM {course} c
          JOIN {context} x ON x.instanceid = c.id AND x.contextlevel = :level
          JOIN {role_assignments} ra ON ra.contextid = x.id
          JOIN {role} r ON r.id = ra.roleid AND r.archetype = 'student'
          JOIN {course_modules} cm ON cm.course = c.id AND cm.deletioninprogress = 0
          JOIN {modules} m ON m.id = cm.module AND m.name = 'forum'
      ORDER BY (SELECT COUNT(1) FROM {course_modules} other WHERE other.course = c.id) DESC, ra.userid, cm.id";
$action = required_param('do', PARAM_ALPHA);
$answer = [];
if ($action === 'login') {
    $found = $DB->get_records_sql($sql, ['level' => CONTEXT_COURSE], 0, 1);
    if (!$found) {
        throw new coding_exception('The site has no course with a student and a forum.');
    }
    $found = reset($found);
    $admin = required_param('as', PARAM_ALPHA) === 'admin';
    complete_user_login(get_complete_user_data('id', $admin ? get_admin()->id : $found->userid));
    $answer = [
        'dashboard' => '/my/',
        'course' => "/course/view.php?id=$found->courseid",
        'forum' => "/mod/forum/view.php?id=$found->forumid",
        'grades' => '/grade/report/' . ($admin ? 'grader' : 'user') . "/index.php?id=$found->courseid",
    ];
    if ($admin) {
        $answer['administration'] = '/admin/search.php';
    }
} else if ($action === 'add') {
    // Adds to a list in the session, which is locked meanwhile.
    $SESSION->larder_test[] = required_param('value', PARAM_INT);
    usleep(optional_param('hold', 0, PARAM_INT) * 1000);
    $answer = ['list' => $SESSION->larder_test, 'user' => $USER->id, 'asked' => $PERF->sessionlock['start'], 'worker' => getmypid()];
} else if ($action === 'look') {
    $answer = ['list' => $SESSION->larder_test ?? [], 'user' => $USER->id];
} else if ($action === 'set') {
    set_config('larder_test', required_param('value', PARAM_ALPHANUM));
} else if ($action === 'get') {
    usleep(20000); // Long enough for requests sent together to meet different workers.
    $answer = ['value' => get_config('core', 'larder_test'), 'worker' => getmypid()];
} else if ($action === 'health') {
    $instance = \cachestore_larder\configuration::instances()['test_site'];
    $answer = (new cachestore_larder('test_site', $instance['configuration']))->health();
} else if ($action === 'purge') {
    cache::make('core', 'coursemodinfo')->purge();
} else if ($action === 'purgeall') {
    cache_helper::purge_all();
} else if ($action === 'unset') {
    unset_config('larder_test');
}
header('Content-Type: application/json');
echo json_encode($answer);
