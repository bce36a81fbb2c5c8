# SPDX-License-Identifier: Apache-2.0
# What an installed Postern offers: to builders of modules headers, find_package and pkg-config, to
# operators the policies and configurations that ship. All of it may be moved together.
include(CMakePackageConfigHelpers)

set(POSTERN_MODULE_DESTINATION ${CMAKE_INSTALL_LIBDIR}/postern)
set(POSTERN_PACKAGE_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Postern)
file(RELATIVE_PATH POSTERN_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
	${CMAKE_INSTALL_PREFIX})
set(POSTERN_PC_PREFIX "\${pcfiledir}/${POSTERN_PC_PREFIX}")

configure_package_config_file(contrib/cmake/PosternConfig.cmake.in
	${CMAKE_BINARY_DIR}/install/PosternConfig.cmake
	INSTALL_DESTINATION ${POSTERN_PACKAGE_DESTINATION}
	PATH_VARS CMAKE_INSTALL_INCLUDEDIR POSTERN_MODULE_DESTINATION)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/install/PosternConfigVersion.cmake
	COMPATIBILITY SameMinorVersion)
configure_file(contrib/cmake/postern.pc.in ${CMAKE_BINARY_DIR}/install/postern.pc @ONLY)

# Named on its own, this part installs without building anything: cmake --install … --component
# development.
install(DIRECTORY include/postern DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/install/PosternConfig.cmake
	${CMAKE_BINARY_DIR}/install/PosternConfigVersion.cmake contrib/cmake/PosternModule.cmake
	DESTINATION ${POSTERN_PACKAGE_DESTINATION} COMPONENT development)
install(FILES ${CMAKE_BINARY_DIR}/install/postern.pc
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
install(DIRECTORY scripts conf DESTINATION ${CMAKE_INSTALL_DATADIR}/postern COMPONENT development)
