<?php
/**
 * Values as large as the structure of a course.
 *
 * @license MIT OR Apache-2.0
 */

namespace Larder\Bench;

/**
 * What Moodle keeps of a course, in `core/coursemodinfo`: an object for each activity and each section, some 650 bytes an activity as
 * `serialize()` writes it.
 */
function course(int $activities): \stdClass {
    $modules = $sections = [];
    for ($i = 1; $i <= $activities; $i++) {
        $modules[$i] = (object)[
            'id' => $i * 3, 'cm' => $i, 'mod' => ['forum', 'assign', 'quiz', 'page', 'resource'][$i % 5], 'section' => intdiv($i, 10),
            'sectionid' => 100 + intdiv($i, 10), 'module' => (string)($i % 23), 'added' => 1700000000 + $i * 61, 'score' => 0,
            'indent' => $i % 2, 'visible' => '1', 'visibleoncoursepage' => '1', 'visibleold' => '1', 'groupmode' => '0',
            'groupingid' => '0', 'completion' => (string)($i % 3), 'completionexpected' => '0', 'completionview' => '0',
            'showdescription' => '0', 'availability' => null, 'lang' => '', 'deletioninprogress' => '0', 'name' => "Activity number {$i} of this course",
            'icon' => 'monologo', 'iconcomponent' => '', 'customdata' => ['duedate' => (string)(1800000000 + $i * 3600), 'cutoffdate' => '0'],
        ];
    }
    for ($i = 0; $i <= intdiv($activities, 10); $i++) {
        $sections[$i] = (object)['id' => 100 + $i, 'section' => $i, 'name' => null, 'summary' => "What section {$i} is about", 'visible' => '1'];
    }
    return (object)['id' => 7, 'shortname' => 'BIG', 'cacherev' => 1700000000, 'modinfo' => $modules, 'sectioncache' => $sections];
}
