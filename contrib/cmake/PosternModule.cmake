# SPDX-License-Identifier: Apache-2.0
# postern_module(NAME source.c … [LIBRARIES lib …] [NO_INSTALL]): builds NAME.so, a module of the
# gateway, and installs it where the gateway looks.
# It sees the public headers and nothing else.
function(postern_module name)
	cmake_parse_arguments(PARSE_ARGV 1 MODULE "NO_INSTALL" "" "LIBRARIES")
	add_library(${name} MODULE ${MODULE_UNPARSED_ARGUMENTS})
	target_link_libraries(${name} PRIVATE Postern::headers ${MODULE_LIBRARIES})
	target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
	set_target_properties(${name} PROPERTIES PREFIX "" C_STANDARD 11 C_EXTENSIONS OFF
		C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
	# A missing symbol shows when the gateway starts, not in the middle of a mail.
	target_link_options(${name} PRIVATE -Wl,-z,now)
	set(destination ${POSTERN_MODULE_DIRECTORY})
	if(CMAKE_PROJECT_NAME STREQUAL "postern")
		set(destination ${CMAKE_INSTALL_LIBDIR}/postern)
		set_target_properties(${name} PROPERTIES
			LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/modules)
	endif()
	if(NOT MODULE_NO_INSTALL)
		install(TARGETS ${name} LIBRARY DESTINATION ${destination})
	endif()
endfunction()
